// Each rule of sampling by itself and in its order, and the corners: one token, ties, nothing cut, everything but one cut.

#include "model/train/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace lapilli::test {
namespace {

const std::vector<float> kLogits{0, std::log(2.0F), std::log(4.0F), std::log(1.0F)};  // p = 1/8 2/8 4/8 1/8

uint32_t sample(const SamplingOptions& options, double uniform, std::span<const float> logits = kLogits, std::span<const uint32_t> seen = {}) {
  return sample_token(logits, seen, options, uniform);
}

// All tokens that can be drawn.
std::set<uint32_t> drawable(const SamplingOptions& options, std::span<const float> logits = kLogits, std::span<const uint32_t> seen = {}) {
  std::set<uint32_t> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(sample(options, (i + 0.5) / 1000, logits, seen));
  return ids;
}

TEST(Sampling, WithoutCuts_TokensComeByTheirProbabilities) {
  std::vector<int> counts(4);
  for (int i = 0; i < 800; ++i) ++counts[sample({.temperature = 1}, (i + 0.5) / 800)];
  EXPECT_EQ(counts, (std::vector<int>{100, 200, 400, 100}));
  // At half the temperature probabilities are squared: 1/22 4/22 16/22 1/22.
  counts.assign(4, 0);
  for (int i = 0; i < 2200; ++i) ++counts[sample({.temperature = 0.5}, (i + 0.5) / 2200)];
  EXPECT_NEAR(counts[2], 1600, 1);
  EXPECT_NEAR(counts[1], 400, 1);
}

TEST(Sampling, TemperatureZero_TakesTheMostLikelyAndOfEqualOnesTheFirst) {
  EXPECT_EQ(sample({.temperature = 0}, 0.99), 2U);
  EXPECT_EQ(sample({.temperature = 0}, 0, std::vector<float>{1, 3, 3, 2}), 1U);
  EXPECT_EQ(sample({.temperature = 0, .top_k = 3, .min_p = 0.5}, 0, std::vector<float>{-7}), 0U);
}

TEST(Sampling, TopK_KeepsTheMostLikely) {
  EXPECT_EQ(drawable({.temperature = 1, .top_k = 1}), (std::set<uint32_t>{2}));
  EXPECT_EQ(drawable({.temperature = 1, .top_k = 2}), (std::set<uint32_t>{1, 2}));
  EXPECT_EQ(drawable({.temperature = 1, .top_k = 3}), (std::set<uint32_t>{0, 1, 2}));  // of equal ones the first
  EXPECT_EQ(drawable({.temperature = 1, .top_k = 9}), (std::set<uint32_t>{0, 1, 2, 3}));
}

TEST(Sampling, TopP_IsTheSmallestSetThatReachesIt) {
  EXPECT_EQ(drawable({.temperature = 1, .top_p = 1e-9}), (std::set<uint32_t>{2}));
  EXPECT_EQ(drawable({.temperature = 1, .top_p = 0.5}), (std::set<uint32_t>{2}));  // 4/8 reaches it
  EXPECT_EQ(drawable({.temperature = 1, .top_p = 0.6}), (std::set<uint32_t>{1, 2}));
  EXPECT_EQ(drawable({.temperature = 1, .top_p = 0.76}), (std::set<uint32_t>{0, 1, 2}));
  // Behind top-k the two are 2/6 and 4/6: the larger one alone reaches 0.6.
  EXPECT_EQ(drawable({.temperature = 1, .top_k = 2, .top_p = 0.6}), (std::set<uint32_t>{2}));
}

TEST(Sampling, MinP_IsAShareOfTheMostLikely) {
  EXPECT_EQ(drawable({.temperature = 1, .min_p = 0.49}), (std::set<uint32_t>{1, 2}));
  EXPECT_EQ(drawable({.temperature = 1, .min_p = 0.51}), (std::set<uint32_t>{2}));
  EXPECT_EQ(drawable({.temperature = 1, .min_p = 1}), (std::set<uint32_t>{2}));
  EXPECT_EQ(drawable({.temperature = 1, .min_p = 0.24}), (std::set<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(drawable({.temperature = 0.5, .min_p = 0.24}), (std::set<uint32_t>{1, 2}));  // the temperature comes before
}

TEST(Sampling, RepeatPenalty_CountsEachSeenTokenOnceAndComesFirst) {
  const std::vector<float> logits{2, 3, -1};
  const std::vector<uint32_t> seen{1, 1, 1, 2};
  EXPECT_EQ(sample({.temperature = 0, .repeat_penalty = 1.4}, 0, logits, seen), 1U);  // 3 / 1.4 is still above 2
  EXPECT_EQ(sample({.temperature = 0, .repeat_penalty = 1.6}, 0, logits, seen), 0U);
  // exp of 2, 3/2 and -1*2: a third of the weight of the first would not be left if a negative logit were divided.
  EXPECT_EQ(drawable({.temperature = 1, .min_p = std::exp(-4.1), .repeat_penalty = 2}, logits, seen), (std::set<uint32_t>{0, 1, 2}));
  EXPECT_EQ(drawable({.temperature = 1, .min_p = std::exp(-3.9), .repeat_penalty = 2}, logits, seen), (std::set<uint32_t>{0, 1}));
}

TEST(Sampling, TokensThatCannotBe_AreNeverDrawn) {
  const std::vector<float> logits{-INFINITY, 0, -INFINITY, 0};
  EXPECT_EQ(drawable({.temperature = 1}, logits), (std::set<uint32_t>{1, 3}));
  EXPECT_EQ(sample({.temperature = 1}, 0, logits), 1U);
  EXPECT_EQ(sample({.temperature = 1}, std::nextafter(1.0, 0.0), logits), 3U);
}

}  // namespace
}  // namespace lapilli::test
