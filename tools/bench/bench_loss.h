#pragma once
// `lapilli bench loss`: options and sweep (bench_loss.cpp), measurement of one shape (bench_loss_cases.cpp), page with
// charts (bench_loss_page.cpp).

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/tuning/kernel_tuner.h"
#include "tools/bench/bench_run.h"
#include "tools/common/tuning_flags.h"

namespace lapilli {

struct LossBenchOptions : BenchOptions {
  // Lists: the bench measures all combinations.
  std::vector<uint32_t> tokens{1024}, vocab{8192}, dim{256};
  std::vector<uint32_t> chunk;          // empty: by memory_mib
  std::vector<uint64_t> memory_mib;     // empty: by the shape, so that vocab keeps about half of the logits
  std::vector<double> valid_fraction{1};
  std::vector<std::string> strategies{"all"};
  Precision precision = Precision::f32;
  uint64_t max_scratch_mib = 2048;             // maximum scratch; strategies that need more are skipped
  bool phases = false;                  // print the phases in a sweep too
  TuningFlags tuning;
};

// Names for --strategy, "all" aside.
const std::vector<std::string>& loss_strategy_names();

// One point of the sweep.
struct LossBenchPoint {
  uint32_t tokens = 0, vocab = 0, dim = 0;
  uint32_t chunk = 0;       // 0: by memory_mib
  uint64_t memory_mib = 0;
  double valid_fraction = 1;
  Precision precision = Precision::f32;

  LossShape shape() const { return {.tokens = tokens, .dim = dim, .vocab = vocab}; }
};

// Measures the strategies and the plain matmuls at one point, both with kernels chosen by `tuner`. `all_valid`: the
// JSON of the same point with every row valid, null if not measured. `with_phases`: the text also has the table of the
// phases.
BenchReport bench_loss_point(BenchRun& bench, KernelTuner& tuner, const LossBenchPoint& point, const std::vector<std::string>& strategies,
                             uint64_t max_scratch_bytes, const nlohmann::ordered_json& all_valid, bool with_phases);

// Charts of throughput and memory over each swept key of "shape" ("vocab", "chunk", ...), or of time for
// "valid_fraction"; bars without a sweep; and a table of everything. `runs`: the JSON of bench_loss_point(), at least
// one. Throws Error.
void write_loss_page(const std::filesystem::path& path, const nlohmann::ordered_json& runs, const std::vector<std::string>& swept,
                     const std::vector<std::string>& facts);

}  // namespace lapilli
