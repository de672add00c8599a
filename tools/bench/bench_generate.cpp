// lapilli bench generate: the time of a token, by the cache and without it, beside the bandwidth of the device's memory.

#include "engine/base/error.h"
#include "model/io/checkpoint.h"
#include "model/io/config_schema.h"
#include "model/train/generator.h"
#include "tools/bench/bench_page.h"
#include "tools/bench/bench_run.h"
#include "tools/common/console.h"
#include "tools/perf/fma_ceiling.h"
#include "tools/perf/timed_program.h"

namespace lapilli {

namespace {

struct GenerateBenchOptions : BenchOptions {
  std::string checkpoint;
  std::vector<uint32_t> contexts{128, 512, 2048};
  Precision precision = Precision::f32;
  bool recompute = true;
};

// SmolLM2-135M: what a user of a small machine generates with.
Config default_config() {
  Config config;
  config.model = {.arch = Arch::llama, .layers = 30, .heads = 9, .kv_heads = 3, .dim = 576, .ffn_dim = 1536, .context = 2048, .vocab_size = 49152};
  apply_preset(config.model);
  config.model.tie_embeddings = true;
  config.model.rope_theta = 100000;
  return config;
}

// A model on the bench's device, with the weights of a checkpoint or random ones.
class Model {
 public:
  Model(BenchRun& bench, const GenerateBenchOptions& options)
      : checkpoint_(options.checkpoint.empty() ? std::nullopt : std::optional(load_checkpoint(options.checkpoint))),
        config_(checkpoint_ ? checkpoint_->config : default_config()),
        table_(config_.model),
        kept_(bench.device().caps(), "the model"),
        scratch_(bench.device().caps(), "activations"),
        weights_(kept_, config_.model, table_, options.precision),
        cached_(bench.device(), kept_, scratch_, config_.model, config_.loss, options.precision),
        recomputed_(bench.device(), kept_, scratch_, config_.model, config_.loss, options.precision) {
    Arena::commit_all(bench.device(), {&kept_, &scratch_});
    weights_.load(bench.device(), checkpoint_ ? checkpoint_->state.values : initial_values(table_, 1));
    cached_.record(bench.kernels(), weights_);
    recomputed_.record(bench.kernels(), weights_);
  }

  const ModelConfig& config() const { return config_.model; }
  // Two, so that the cache of the one keeps the longest text.
  Generator& generator(Generator::Cache cache) { return cache == Generator::Cache::kept ? cached_ : recomputed_; }
  uint64_t parameters() const { return table_.count(); }

  // The weights that a token needs: all but the embeddings' other rows.
  uint64_t bytes_of_token(Precision precision) const {
    uint64_t bytes = 0;
    for (const ParameterSpec& spec : table_.specs()) {
      const bool is_looked_up = spec.name == "wpe.weight" || (spec.name == "wte.weight" && !config_.model.tie_embeddings);
      if (is_looked_up) bytes += uint64_t{config_.model.dim} * sizeof(float);
      else bytes += spec.shape.elements() * (spec.decay ? size_bytes(weights_.operand(spec.name, precision).dtype()) : sizeof(float));
    }
    return bytes;
  }
  // Keys and values of a whole context.
  uint64_t cache_bytes(uint32_t context) const {
    return uint64_t{config_.model.layers} * context * 2 * config_.model.kv_heads * config_.model.head_width() * sizeof(float);
  }

 private:
  std::optional<LoadedCheckpoint> checkpoint_;
  Config config_;
  ParameterTable table_;
  Arena kept_, scratch_;
  ModelWeights weights_;
  Generator cached_, recomputed_;
};

std::vector<uint32_t> text_of(const ModelConfig& model, uint32_t length) {
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < length; ++i) ids.push_back((7919 * i + 11) % model.vocab_size);
  return ids;
}

BenchmarkCase token_case(Model& model, uint32_t context, Generator::Cache cache) {
  const bool kept = cache == Generator::Cache::kept;
  return {fmt::format("token {}, {}", context, kept ? "cached" : "recomputed"), [&model, text = text_of(model.config(), context), cache] {
            return wall_seconds([&] { model.generator(cache).generate(text, {.tokens = 1, .temperature = 0}, {}, std::nullopt, cache); });
          }};
}

void run(const GenerateBenchOptions& options) {
  BenchRun bench(options);
  Model model(bench, options);
  const uint64_t copy_bytes = ceiling_copy_bytes(bench.device().caps());
  BenchMemory memory(bench.device());
  const Shape copied{static_cast<uint32_t>(copy_bytes / sizeof(float))};
  const Tensor source = memory.zeros(copied), destination = memory.zeros(copied);
  memory.commit();
  TimedProgram copy(bench.kernels(), "copy", [&](Ops& ops) { ops.program.copy(destination.slice(), source.slice()); });
  std::vector<BenchEntry> entries{
      {.benchmark_case = copy.benchmark_case(), .bytes = 2 * static_cast<double>(copy_bytes), .note = "read + written: the memory's bandwidth"}};
  for (const uint32_t context : options.contexts) {
    if (context > model.config().context) continue;
    const uint64_t bytes = model.bytes_of_token(options.precision) + model.cache_bytes(context);
    entries.push_back({.benchmark_case = token_case(model, context, Generator::Cache::kept), .bytes = static_cast<double>(bytes)});
    if (options.recompute) entries.push_back({.benchmark_case = token_case(model, context, Generator::Cache::lost)});
  }
  if (entries.size() == 1) throw Error("no context of --contexts is within the model's {}", model.config().context);
  const BenchFigures figures = bench.measure(entries);
  const double bandwidth = entries[0].bytes / figures.timings[0].median;
  for (size_t i = 1; i < entries.size(); ++i) {
    const double seconds = figures.timings[i].median;
    entries[i].facts["tokens_per_s"] = 1 / seconds;
    entries[i].cells.emplace_back("tokens/s", fmt::format("{:.2f}", 1 / seconds));
    if (entries[i].bytes == 0) continue;
    const double share = entries[i].bytes / seconds / bandwidth;
    entries[i].facts["share_of_bandwidth"] = share;
    entries[i].cells.emplace_back("of memory", fmt::format("{:.1f} %", 100 * share));
  }
  const ModelConfig& m = model.config();
  BenchReport report = bench.describe("generate",
                                      {{"parameters", model.parameters()},
                                       {"layers", m.layers},
                                       {"heads", m.heads},
                                       {"kv_heads", m.kv_heads},
                                       {"dim", m.dim},
                                       {"vocab", m.vocab_size},
                                       {"weights", to_string(options.precision)}},
                                      entries, figures);
  report.page.title = "A token of generated text";
  report.page.charts = {
      chart_bars({.title = "Tokens per second", .axis = {.label = "", .unit = "tokens/s"}, .key = "tokens_per_s"}, report.json["results"])};
  bench.publish(report);
}

}  // namespace

void add_bench_generate(Command& bench) {
  Command* command = bench.add_subcommand("generate", "Tokens per second of generation, by the key/value cache and without it");
  const auto options = std::make_shared<GenerateBenchOptions>();
  command->footer(
      "A token N is the one at position N - 1, by the host's clock, sampling included. \"cached\": keys and values of those before it are in the\n"
      "cache. \"recomputed\": a pass over all N, as without a cache. \"of memory\": the bytes that a cached token has to read, weights and cache, "
      "by\n"
      "its time, as a share of the bandwidth of a copy.");
  command->add_option("checkpoint", options->checkpoint, "Model (default: the shape of SmolLM2-135M with random weights)")
      ->type_name("RUN|CHECKPOINT");
  command->add_option("--contexts", options->contexts, "Lengths of text")
      ->delimiter(',')
      ->check(positive())
      ->type_name("N,...")
      ->default_str("128,512,2048");
  command->add_flag("!--no-recompute", options->recompute, "Leave out the passes over all of the text");
  add_dtype_option(*command, options->precision);
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
