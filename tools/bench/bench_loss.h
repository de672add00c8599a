#pragma once
// The parts of `lapilli bench loss`: options and sweep (bench_loss.cpp), the measurement of one shape
// (bench_loss_cases.cpp), and the page with charts (bench_loss_page.cpp).

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/tuning/kernel_tuner.h"
#include "tools/bench/bench_run.h"
#include "tools/common/tuning_flags.h"

namespace lapilli {

struct LossBenchOptions : BenchOptions {
  // Lists: what is measured is their cross product.
  std::vector<uint32_t> tokens{1024}, vocab{8192}, dim{256};
  std::vector<uint32_t> chunk;          // empty: by the memory
  std::vector<uint64_t> memory_mib;     // empty: by the shape, so that vocab keeps about half of the logits
  std::vector<double> valid_fraction{1};
  std::vector<std::string> strategies{"all"};
  Precision precision = Precision::f32;
  uint64_t most_mib = 2048;             // of scratch; what would hold more is left out
  bool phases = false;                  // also tables of the phases in a sweep
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

// Measures the strategies and the plain products at one point, both of kernels that `tuning` chooses. `all_valid`: the JSON of the same point with every row valid,
// null if that was not measured. The text has the table of the phases behind the other one when `with_phases`.
BenchReport bench_loss_point(BenchRun& bench, KernelTuner& tuner, const LossBenchPoint& point, const std::vector<std::string>& strategies,
                             uint64_t most_scratch_bytes, const nlohmann::ordered_json& all_valid, bool with_phases);

// Throughput and memory over each of the swept keys of "shape" ("vocab", "chunk", ...), or, for "valid_fraction", time; bars where nothing
// is swept; and a table of everything. `runs` are what bench_loss_point() gave as JSON, at least one. Throws Error.
void write_loss_page(const std::filesystem::path& path, const nlohmann::ordered_json& runs, const std::vector<std::string>& swept,
                     const std::vector<std::string>& facts);

}  // namespace lapilli
