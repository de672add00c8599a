#include "tools/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/base/error.h"

namespace lapilli {

double quantile(std::vector<double> values, double q) {
  CHECK(!values.empty() && q >= 0 && q <= 1, "{} values, q = {}", values.size(), q);
  std::ranges::sort(values);
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - std::floor(at)) * (values[above] - values[below]);
}

double wall_seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<Timing> measure(std::span<const Contender> contenders, const MeasureOptions& options) {
  double round_seconds = 0;
  for (const Contender& contender : contenders) round_seconds += wall_seconds([&] { contender.run(); });
  uint32_t repeats = options.repeats;
  if (repeats == 0) {
    const double fitting = options.seconds_budget / std::max(round_seconds, 1e-9);
    repeats = static_cast<uint32_t>(std::clamp<double>(fitting, options.fewest, options.most));
  }
  std::vector<std::vector<double>> seconds(contenders.size());
  for (uint32_t round = 0; round < repeats; ++round)
    for (size_t i = 0; i < contenders.size(); ++i) seconds[i].push_back(contenders[i].run());

  std::vector<Timing> timings;
  for (size_t i = 0; i < contenders.size(); ++i) {
    const std::vector<double>& all = seconds[i];
    timings.push_back({.name = contenders[i].name,
                       .median = quantile(all, 0.5),
                       .lower_quartile = quantile(all, 0.25),
                       .upper_quartile = quantile(all, 0.75),
                       .min = quantile(all, 0),
                       .max = quantile(all, 1),
                       .repeats = repeats});
  }
  return timings;
}

}  // namespace lapilli
