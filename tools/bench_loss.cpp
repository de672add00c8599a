// lapilli bench loss: fused linear + cross-entropy over a chunked vocabulary, against holding all logits.

#include <cmath>

#include "model/config.h"
#include "model/loss.h"
#include "tools/bench.h"
#include "tools/console.h"

namespace lapilli {

namespace {

struct LossBenchOptions : BenchOptions {
  uint32_t tokens = 512, vocab = 16384, dim = 256, chunk = 0;
  uint64_t memory_mib = 8;  // a quarter of all logits of this shape
  std::string strategy = "all";
  double valid_fraction = 1;
};

// Inputs and outputs of a batch.
struct LossBatch {
  LossBatch(BenchMemory& memory, const LossBenchOptions& options) {
    const uint32_t n = options.tokens, d = options.dim, v = options.vocab;
    std::vector<uint32_t> ids(n);
    std::vector<float> row_weights(n);
    for (uint32_t i = 0; i < n; ++i) {
      ids[i] = static_cast<uint32_t>((i * uint64_t{2654435761U}) % v);
      // Valid rows spread evenly: floor((i + 1) f) counts them.
      row_weights[i] = std::floor((i + 1) * options.valid_fraction) > std::floor(i * options.valid_fraction) ? 1.0F : 0.0F;
      valid += row_weights[i] > 0 ? 1 : 0;
    }
    x = memory.random({n, d});
    w = memory.random({v, d}, 0.02F);
    d_x = memory.zeros({n, d});
    d_w = memory.zeros({v, d});
    nll = memory.zeros({n});
    sums = memory.zeros({args::kSumCount});
    status = memory.zeros({args::kStatusWords}, DType::u32);
    targets = memory.words(ids);
    weights = memory.floats(row_weights);
    inverse_weight = memory.floats({1.0F / static_cast<float>(std::max(valid, 1U))});
  }
  Tensor x, w, d_x, d_w, nll, sums, status, targets, weights, inverse_weight;
  uint32_t valid = 0;
};

LossOptions loss_options(const LossBenchOptions& options, LossStrategy strategy) {
  return {.strategy = strategy, .chunk = options.chunk, .memory_mib = options.memory_mib};
}

// One strategy, as training or as evaluation uses it.
struct LossCase {
  LossCase(BenchRun& bench, BenchMemory& memory, const LossBenchOptions& options, LossStrategy strategy, bool for_training)
      : training(for_training),
        loss(memory.arena(), bench.device().caps(), {options.tokens, options.dim, options.vocab}, loss_options(options, strategy),
             plan_loss(loss_options(options, strategy), {options.tokens, options.dim, options.vocab}, for_training)),
        kernels(bench.kernels()) {}

  void record(const std::string& name, const LossBatch& batch) {
    program = std::make_unique<TimedProgram>(kernels, name, [this, &batch](Ops& ops) {
      const LossOutputs outputs{.nll = batch.nll, .sums = batch.sums, .status = batch.status};
      const LossInputs inputs{.x = batch.x, .w = batch.w, .targets = batch.targets, .weights = batch.weights};
      if (training) loss.forward_backward(ops, outputs, {.d_x = batch.d_x, .d_w = batch.d_w}, inputs, batch.inverse_weight);
      else loss.forward(ops, outputs, inputs);
    });
  }

  bool training;
  LinearCrossEntropy loss;
  KernelLibrary& kernels;
  std::unique_ptr<TimedProgram> program;
};

std::vector<LossStrategy> strategies(const std::string& name) {
  if (name == "full") return {LossStrategy::full};
  if (name == "vocab") return {LossStrategy::vocab};
  if (name == "tokens") return {LossStrategy::tokens};
  if (name == "auto") return {LossStrategy::automatic};
  return {LossStrategy::full, LossStrategy::tokens, LossStrategy::vocab};
}

void run(const LossBenchOptions& options) {
  require_indexable("the head", options.vocab, options.dim);
  require_indexable("the input", options.tokens, options.dim);
  BenchRun bench(options);
  BenchMemory memory(bench.device());
  const LossBatch batch(memory, options);
  std::vector<std::unique_ptr<LossCase>> cases;
  {
    Arena::Alternatives shared(memory.arena());  // one case runs at a time
    for (const LossStrategy strategy : strategies(options.strategy))
      for (const bool training : {false, true}) {
        cases.push_back(std::make_unique<LossCase>(bench, memory, options, strategy, training));
        shared.next();
      }
  }
  memory.commit();

  std::vector<BenchEntry> entries;
  for (const auto& it : cases) {
    const LossPlan& plan = it->loss.plan();
    it->record(fmt::format("{} {}", to_string(plan.strategy), it->training ? "train" : "evaluate"), batch);
    const double product_flops = 2.0 * batch.valid * options.dim * options.vocab;
    entries.push_back({.contender = it->program->contender(),
                       .flops = (it->training ? 3 : 1) * product_flops,
                       .facts = {{"chunk", plan.chunk},
                                 {"chunks", plan.chunks}, {"range", plan.range},
                                 {"slabs", plan.slabs},
                                 {"scratch_bytes", it->loss.scratch_bytes()}},
                       .note = fmt::format("{} of scratch, {} x {} columns, {} kept", format_bytes(it->loss.scratch_bytes()),
                                           plan.chunks, plan.chunk, plan.slabs)});
  }
  bench.report("loss",
               {{"tokens", options.tokens}, {"valid_tokens", batch.valid}, {"vocab", options.vocab}, {"dim", options.dim}},
               std::move(entries));
}

}  // namespace

void add_bench_loss(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("loss", "Linear + cross-entropy: all logits at once, or the vocabulary in chunks");
  command->footer("FLOPs are 2NDV to evaluate and 6NDV to train for the N valid tokens, whatever is computed twice.\n"
                  "Example: lapilli bench loss --tokens 1024 --vocab 32000 --dim 256 --memory-mib 32");
  const auto options = std::make_shared<LossBenchOptions>();
  const auto add = [&](const char* name, uint32_t& value, const char* help) {
    return command->add_option(name, value, help)->check(positive())->capture_default_str();
  };
  add("--tokens", options->tokens, "Rows of the batch, N");
  add("--vocab", options->vocab, "Vocabulary, V")->check(CLI::Range(1, 1 << 24));
  add("--dim", options->dim, "Width, D");
  command->add_option("--strategy", options->strategy, "full, vocab, auto, or all: full and vocab in turn")
      ->check(CLI::IsMember({"full", "tokens", "vocab", "auto", "all"}))
      ->capture_default_str();
  command->add_option("--chunk", options->chunk, "Columns of a chunk (default: by --memory-mib)")->check(positive());
  command->add_option("--memory-mib", options->memory_mib, "Memory for logits")->check(positive())->capture_default_str();
  command->add_option("--valid-fraction", options->valid_fraction, "Share of the rows that have a target")
      ->check(not_negative())
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
