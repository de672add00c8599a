#include "engine/tuning/measure.h"

#include <gtest/gtest.h>

namespace lapilli::test {
namespace {

TEST(Measure, Rounds_AreThoseRequested_ElseWithinMinAndMax) {
  uint32_t runs = 0;
  const std::vector<BenchmarkCase> benchmark_cases{{"a", [&] { return static_cast<double>(runs++); }}};
  const auto rounds = [&](const MeasureOptions& options) {
    runs = 0;
    return measure_interleaved(benchmark_cases, options).at(0).size();
  };
  EXPECT_EQ(rounds({.repeats = 2, .seconds_budget = 0}), 2U);
  EXPECT_EQ(rounds({.seconds_budget = 0, .min_rounds = 3, .max_rounds = 7}), 3U);
  EXPECT_EQ(rounds({.seconds_budget = 1000, .min_rounds = 3, .max_rounds = 7}), 7U);
  EXPECT_EQ(measure_interleaved(benchmark_cases, {.repeats = 2}).at(0), (std::vector<double>{9, 10}));  // after 8 runs, and a warm-up
}

TEST(Measure, Quantile_InterpolatesBetweenOrderStatistics) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 0.25), 1.75);  // as numpy.quantile
  EXPECT_EQ(quantile({7}, 1), 7);
}

}  // namespace
}  // namespace lapilli::test
