#include "tools/perf/timing.h"

namespace lapilli {

std::vector<Timing> measure(std::span<const Contender> contenders, const MeasureOptions& options) {
  const std::vector<std::vector<double>> seconds = measure_in_turn(contenders, options);
  std::vector<Timing> timings;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const std::vector<double>& all = seconds[i];
    timings.push_back({.name = contenders[i].name,
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
