#include "engine/tuning/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/base/error.h"

namespace lapilli {

namespace {

// Whether to run another round after `rounds` rounds that took `seconds`; it is expected to take their mean.
bool another_round(const MeasureOptions& options, uint32_t rounds, double seconds) {
  if (options.repeats != 0) return rounds < options.repeats;
  if (rounds < options.fewest) return true;
  return rounds < options.most && seconds * (rounds + 1) <= options.seconds_budget * rounds;
}

}  // namespace

std::vector<std::vector<double>> measure_in_turn(std::span<const Contender> contenders, const MeasureOptions& options) {
  if (options.warm_up)
    for (const Contender& contender : contenders) contender.run();
  std::vector<std::vector<double>> seconds(contenders.size());
  double elapsed = 0;
  for (uint32_t rounds = 0; another_round(options, rounds, elapsed); ++rounds)
    elapsed += wall_seconds([&] {
      for (size_t i = 0; i < contenders.size(); ++i) seconds[i].push_back(contenders[i].run());
    });
  return seconds;
}

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

}  // namespace lapilli
