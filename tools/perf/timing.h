#pragma once
// Statistics of a measurement: median and quartiles of each benchmark case.

#include "engine/tuning/measure.h"

namespace lapilli {

// Seconds over the rounds.
struct Timing {
  std::string name;
  double median = 0, lower_quartile = 0, upper_quartile = 0, min = 0, max = 0;
  uint32_t repeats = 0;
};

// In the order of the cases, measured interleaved after a warm-up.
std::vector<Timing> measure(std::span<const BenchmarkCase> benchmark_cases, const MeasureOptions& options);

}  // namespace lapilli
