// lapilli bench loss: fused linear + cross-entropy over a chunked vocabulary, against plain matmuls of the same shape.

#include "tools/bench/bench_loss.h"

#include <algorithm>
#include <limits>

#include "engine/base/json.h"
#include "shaders/embedded_shaders.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

// Each value once, in the order given.
template <typename T>
std::vector<T> distinct(const std::vector<T>& values) {
  std::vector<T> result;
  for (const T& value : values)
    if (std::ranges::find(result, value) == result.end()) result.push_back(value);
  return result;
}

// Enough for vocab to keep about half of the logits, and for tokens to have two row chunks, with the compact copies of
// x and d_x: chunks are whole tiles, and rows of slabs have gaps.
uint64_t half_kept_mib(uint64_t tokens, uint64_t vocab, uint64_t dim) {
  return (2 * tokens * vocab * 17 / 16 + 8 * tokens * dim + (1U << 20U) - 1) >> 20U;
}

std::vector<LossBenchPoint> cross_product(const LossBenchOptions& options) {
  // All rows valid comes first: the others are relative to it.
  std::vector<double> fractions = distinct(options.valid_fraction);
  std::ranges::sort(fractions, std::greater{});
  const auto chunks = options.chunk.empty() ? std::vector<uint32_t>{0} : distinct(options.chunk);
  std::vector<LossBenchPoint> points;
  for (const uint32_t tokens : distinct(options.tokens))
    for (const uint32_t vocab : distinct(options.vocab))
      for (const uint32_t dim : distinct(options.dim)) {
        std::vector<uint64_t> memories = distinct(options.memory_mib);
        if (memories.empty()) memories.push_back(half_kept_mib(tokens, vocab, dim));
        for (const uint32_t chunk : chunks)
          for (const uint64_t memory : memories)
            for (const double fraction : fractions)
              points.push_back({.tokens = tokens,
                                .vocab = vocab,
                                .dim = dim,
                                .chunk = chunk,
                                .memory_mib = memory,
                                .valid_fraction = fraction,
                                .precision = options.precision});
      }
  for (const LossBenchPoint& point : points) {
    require_indexable("the head", point.vocab, point.dim);
    require_indexable("the input", point.tokens, point.dim);
  }
  return points;
}

// The options that take several values, as keys of a report's "shape".
std::vector<std::string> swept_keys(const LossBenchOptions& options) {
  std::vector<std::string> keys;
  const auto add = [&](const char* key, const auto& values) {
    if (distinct(values).size() > 1) keys.emplace_back(key);
  };
  add("tokens", options.tokens);
  add("vocab", options.vocab);
  add("dim", options.dim);
  add("chunk", options.chunk);
  add("memory_mib", options.memory_mib);
  add("valid_fraction", options.valid_fraction);
  return keys;
}

std::vector<std::string> chosen_strategies(const LossBenchOptions& options) {
  std::vector<std::string> names;
  for (const std::string& name : options.strategies) {
    if (name == "all") names.insert(names.end(), {"evaluate", "full", "tokens", "recompute", "vocab", "kept"});
    else names.push_back(name);
  }
  return distinct(names);
}

void run(const LossBenchOptions& options) {
  const std::vector<LossBenchPoint> points = cross_product(options);
  const std::vector<std::string> strategies = chosen_strategies(options);
  BenchRun bench(options);
  StatusLine status(nullptr);
  bench.compare_with(options.precision);
  TunerOptions measuring = tuner_options(options.tuning, status);
  measuring.seconds_in_all = std::numeric_limits<double>::infinity();  // a sweep has many shapes
  Tuner tuner(bench.device().caps(), embedded_shaders_hash(), measuring);
  KernelTuner kernel_tuner(bench.kernels(), tuner);
  if (!options.as_json) print(bench.device_line() + "\n");

  const bool is_sweep = points.size() > 1;
  auto runs = nlohmann::ordered_json::array();
  nlohmann::ordered_json all_valid;  // the last such run: points that differ in the fraction alone follow it
  for (const LossBenchPoint& point : points) {
    if (point.valid_fraction == *std::ranges::max_element(options.valid_fraction)) all_valid = nullptr;
    BenchReport report =
        bench_loss_point(bench, kernel_tuner, point, strategies, options.max_scratch_mib << 20U, all_valid, !is_sweep || options.phases);
    if (!options.as_json) print((runs.empty() ? "" : "\n") + report.text);
    if (point.valid_fraction == 1) all_valid = report.json;
    runs.push_back(std::move(report.json));
    // After each point: a missing folder is reported at once, and an interrupted sweep leaves its results.
    if (!options.html.empty()) write_loss_page(options.html, runs, swept_keys(options), bench.page_facts());
  }
  const nlohmann::ordered_json json = is_sweep ? nlohmann::ordered_json{{"bench", "loss"}, {"device", runs[0]["device"]}, {"runs", runs}} : runs[0];
  bench.save(json);
  if (options.as_json) print(json_text(json, 2) + "\n");
}

}  // namespace

void add_bench_loss(Command& bench) {
  Command* command = bench.add_subcommand("loss", "Linear + cross-entropy: strategies in time, memory and error, one shape or a sweep");
  command->footer(
      "Several values (--vocab 8192,32000) make a sweep over all combinations; --seconds is for each of them.\n"
      "FLOPs are 2NDV to evaluate and 6NDV to train for the N valid tokens, without recomputation. \"of matmul\" is relative\n"
      "to plain matmuls of the same shape, measured in the same run. Bytes are those that the kernels\n"
      "declare, given if all rows are valid.\n"
      "Strategies: evaluate (no gradients), full, tokens, vocab (see `[loss]` in a configuration), recompute (vocab with one\n"
      "logits buffer: as little memory as possible), kept (vocab without recomputation), auto, all (every one but auto).\n"
      "Examples:\n"
      "  lapilli bench loss --tokens 1024 --vocab 32000 --dim 256 --strategy full,vocab --memory-mib 32\n"
      "  lapilli bench loss --vocab 8192,32000,128000 --html loss.html");
  const auto options = std::make_shared<LossBenchOptions>();
  const auto add = [&](const char* name, auto& values, const char* help) {
    return command->add_option(name, values, help)->delimiter(',')->one_value_each()->type_name("LIST");
  };
  add("--tokens", options->tokens, "Rows of the batch, N (default: 1024)")->check(positive());
  add("--vocab", options->vocab, "Vocabulary, V, up to 2^24 (default: 8192)")->check(positive())->check(between(1U, 1U << 24U, InHelp::hidden));
  add("--dim", options->dim, "Width, D (default: 256)")->check(positive());
  std::vector<std::string> names = loss_strategy_names();
  names.emplace_back("all");
  add("--strategy", options->strategies, "Names as below (default: all)")->check(one_of(names, InHelp::hidden));
  add("--chunk", options->chunk, "Columns of a chunk; for tokens: rows of a row chunk (default: by --memory-mib)")->check(positive());
  add("--memory-mib", options->memory_mib, "Memory for logits (default: vocab keeps half of them)")->check(positive());
  add("--valid-fraction", options->valid_fraction, "Share of valid rows, 0 to 1 (default: 1)")
      ->check(not_negative())
      ->check(between(0.0, 1.0, InHelp::hidden));
  add_dtype_option(*command, options->precision);
  command->add_option("--most-mib", options->max_scratch_mib, "Skip strategies that need more scratch memory")
      ->check(positive())
      ->capture_default_str()
      ->type_name("MIB");
  command->add_flag("--phases", options->phases, "Print the time of the phases in a sweep too");
  add_bench_options(*command, *options);
  add_tuning_options(*command, options->tuning);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
