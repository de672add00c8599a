#pragma once
// Interleaved measurement: after a warm-up, each round runs every case once, so that clock drift affects all cases
// equally. The caller computes statistics (median, quartiles) from the seconds.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lapilli {

// One benchmark case. `run` runs it once and returns the seconds it took.
struct BenchmarkCase {
  std::string name;
  std::function<double()> run;
};

struct MeasureOptions {
  uint32_t repeats = 0;         // rounds; 0: as many as fit into seconds_budget
  double seconds_budget = 8;    // wall clock for all cases together, without the warm-up
  uint32_t min_rounds = 3, max_rounds = 50;  // rounds, when they come from the budget
  bool warm_up = true;          // run each case once before the first round (compilation, page faults, clocks)
};

// [benchmark case][round] seconds.
std::vector<std::vector<double>> measure_interleaved(std::span<const BenchmarkCase> benchmark_cases, const MeasureOptions& options);

// Linear interpolation between order statistics, as in numpy. REQUIRES: not empty; 0 <= q <= 1.
double quantile(std::vector<double> values, double q);

// Wall-clock seconds of one call.
double wall_seconds(const std::function<void()>& work);

}  // namespace lapilli
