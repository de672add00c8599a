// Spikes: values far above their trend, and nothing else.

#include "model/run/spike_detector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace lapilli::testing {
namespace {

TEST(SpikeDetector, FewValues_HaveNoScore) {
  TrendState trend;
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(z_score(trend, 1.0 + i).has_value()) << i;
  EXPECT_TRUE(z_score(trend, 1.0).has_value());
}

TEST(SpikeDetector, FirstValues_HaveTheirPlainMeanAndVariance) {
  TrendState trend;
  double sum = 0, squares = 0;
  for (int i = 1; i <= 40; ++i) {
    const double value = std::sin(i);
    z_score(trend, value);
    sum += value;
    squares += value * value;
    EXPECT_NEAR(trend.mean, sum / i, 1e-12);
    EXPECT_NEAR(trend.variance, squares / i - sum / i * (sum / i), 1e-12);
  }
}

// A loss that falls, with noise: 10,000 values without a spike, and each one that is put in is found.
TEST(SpikeDetector, NoisyLoss_OnlyWhatJumpsIsASpike) {
  TrendState trend;
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0, 0.05);
  for (int i = 0; i < 10000; ++i) {
    const double loss = 2 + 6 * std::exp(-i / 300.0) + noise(random);
    const bool jumps = i > 200 && i % 1000 < 2;  // two in a row
    const std::optional<double> z = z_score(trend, jumps ? loss + 1.5 : loss);
    EXPECT_EQ(z && *z >= kSpikeZ, jumps) << i << " z " << z.value_or(0);
  }
}

TEST(SpikeDetector, ValuesThatAreNotFinite_ChangeNothing) {
  TrendState trend;
  for (int i = 0; i < 60; ++i) z_score(trend, 1 + 0.1 * std::cos(i));
  const TrendState before = trend;
  for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) EXPECT_FALSE(z_score(trend, value));
  EXPECT_EQ(trend, before);
}

TEST(SpikeDetector, ConstantValue_IsNoSpikeForARoundingError) {
  TrendState trend;
  for (int i = 0; i < 100; ++i) z_score(trend, 3);
  EXPECT_LT(*z_score(trend, std::nextafter(3, 4)), 1);
  EXPECT_GT(*z_score(trend, 4), kSpikeZ);
}

}  // namespace
}  // namespace lapilli::testing
