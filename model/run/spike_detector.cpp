#include "model/run/spike_detector.h"

#include <algorithm>
#include <cmath>

namespace lapilli {

namespace {

constexpr double kWeight = 0.02;      // of a new value: about the last 50 count
constexpr uint64_t kFewestValues = 50;
constexpr double kMostAdded = 3;      // standard deviations
// Relative to the mean: a trend that hardly varies does not make spikes of rounding errors.
constexpr double kLeastDeviation = 1e-3;

}  // namespace

std::optional<double> z_score(TrendState& trend, double value) {
  if (!std::isfinite(value)) return std::nullopt;
  std::optional<double> z;
  if (trend.count >= kFewestValues) {
    const double deviation = std::max(std::sqrt(trend.variance), kLeastDeviation * std::abs(trend.mean));
    z = deviation > 0 ? (value - trend.mean) / deviation : 0;
    value = std::min(value, trend.mean + kMostAdded * deviation);
  }
  const double weight = std::max(kWeight, 1 / static_cast<double>(trend.count + 1));  // the plain mean of the first ones
  const double difference = value - trend.mean, increment = weight * difference;
  trend.mean += increment;
  trend.variance = (1 - weight) * (trend.variance + difference * increment);
  ++trend.count;
  return z;
}

}  // namespace lapilli
