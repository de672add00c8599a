#include "tools/perf/timing.h"

namespace lapilli {

std::vector<Timing> measure(std::span<const BenchmarkCase> benchmark_cases, const MeasureOptions& options) {
  const std::vector<std::vector<double>> seconds = measure_interleaved(benchmark_cases, options);
  std::vector<Timing> timings;
  for (size_t i = 0; i < benchmark_cases.size(); ++i) {
    const std::vector<double>& all = seconds[i];
    timings.push_back({.name = benchmark_cases[i].name,
                       .median = quantile(all, 0.5),
                       .lower_quartile = quantile(all, 0.25),
                       .upper_quartile = quantile(all, 0.75),
                       .min = quantile(all, 0),
                       .max = quantile(all, 1),
                       .repeats = static_cast<uint32_t>(all.size())});
  }
  return timings;
}

}  // namespace lapilli
