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
  if (rounds < options.min_rounds) return true;
  return rounds < options.max_rounds && seconds * (rounds + 1) <= options.seconds_budget * rounds;
}

}  // namespace

std::vector<std::vector<double>> measure_interleaved(std::span<const BenchmarkCase> benchmark_cases, const MeasureOptions& options) {
  if (options.warm_up)
    for (const BenchmarkCase& benchmark_case : benchmark_cases) benchmark_case.run();
  std::vector<std::vector<double>> seconds(benchmark_cases.size());
  double elapsed = 0;
  for (uint32_t rounds = 0; another_round(options, rounds, elapsed); ++rounds)
    elapsed += wall_seconds([&] {
      for (size_t i = 0; i < benchmark_cases.size(); ++i) seconds[i].push_back(benchmark_cases[i].run());
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
