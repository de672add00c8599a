// Training with 16-bit factors: loss scaling, and agreement with f32.

#include <cmath>

#include "model/loss_scale.h"
#include "tests/model/training_session.h"

namespace lapilli::test {
namespace {

TEST(LossScale, Overflow_HalvesAndCounts) {
  LossScale scale(Precision::f16);
  EXPECT_EQ(scale.value(), 65536);
  scale.note_overflow();
  scale.note_overflow();
  EXPECT_EQ(scale.state(), (LossScaleState{.value = 16384, .good_steps = 0, .skipped = 2}));
}

TEST(LossScale, GoodStepsInARow_DoubleUpToTheLargest) {
  LossScale scale(Precision::f16, {.value = LossScale::kLargest / 2});
  for (uint32_t i = 1; i < LossScale::kGrowthSteps; ++i) scale.note_good_step();
  EXPECT_EQ(scale.value(), LossScale::kLargest / 2);
  scale.note_overflow();  // the count begins again
  for (uint32_t i = 1; i < LossScale::kGrowthSteps; ++i) scale.note_good_step();
  EXPECT_EQ(scale.value(), LossScale::kLargest / 4);
  for (uint32_t i = 0; i < 3 * LossScale::kGrowthSteps; ++i) scale.note_good_step();
  EXPECT_EQ(scale.value(), LossScale::kLargest);
}

TEST(LossScale, OverflowAtOne_IsAnErrorThatSaysWhatToDo) {
  LossScale scale(Precision::f16, {.value = 1});
  try {
    scale.note_overflow();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("bf16"), std::string::npos) << error.what();
  }
}

TEST(LossScale, OtherPrecisions_AreNeverScaled) {
  EXPECT_EQ(LossScale(Precision::f32).value(), 1);
  EXPECT_EQ(LossScale(Precision::bf16, {.value = 1024}).value(), 1);
}

class HalfTraining : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = why_not({.kernel_class = KernelClass::coopmat, .precision = Precision::f16})) GTEST_SKIP() << *reason;
  }
  static Config config(Precision precision) {
    Config config = small_config();
    config.train.precision = precision;
    return config;
  }
};

TEST_F(HalfTraining, LossOver100Steps_WithinOnePercentOfF32) {
  Session f32(config(Precision::f32)), f16(config(Precision::f16));
  double first = 0, last = 0;
  for (uint64_t s = 1; s <= 100; ++s) {
    const StepResult expected = f32.step(s), actual = f16.step(s);
    ASSERT_FALSE(actual.overflowed) << s;
    EXPECT_NEAR(actual.loss(), expected.loss(), 0.01 * expected.loss()) << s;
    EXPECT_NEAR(actual.grad_norm, expected.grad_norm, 0.05 * expected.grad_norm) << s;
    if (s == 1) first = actual.loss();
    last = actual.loss();
  }
  EXPECT_LT(last, 0.8 * first);
}

TEST_F(HalfTraining, FirstStep_GradientsAgreeWithF32) {
  Session f32(config(Precision::f32)), f16(config(Precision::f16));
  f32.step(1);
  f16.step(1);
  const auto expected = f32.memory.step->read_gradients(), actual = f16.memory.step->read_gradients();
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  // Each factor is off by 2^-11 at most. From the loss down, a gradient goes through its 2 products, and in each of the 2 layers
  // through those of 4 weights and 2 of attention (d_o vt, d_s k), 2 factors each: 28 roundings, whose errors add up at worst.
  EXPECT_LT(std::sqrt(error / size), 28 * 0x1p-11);
  EXPECT_GT(error, 0) << "f16 factors should show";
}

TEST_F(HalfTraining, OverflowingGradients_SkipTheStepAndHalveTheScale) {
  Session session(config(Precision::f16)), clean(config(Precision::f16));
  const double huge = std::exp2(60);
  session.memory.step->load_loss_scale({.value = huge});
  const auto before = session.memory.step->read_values();
  EXPECT_TRUE(session.step(1).overflowed);
  expect_same_bits(session.memory.step->read_values(), before, "weights");
  for (const float m : session.memory.step->read_second_moment()) ASSERT_EQ(m, 0.0F);
  EXPECT_EQ(session.memory.step->loss_scale().state(), (LossScaleState{.value = huge / 2, .good_steps = 0, .skipped = 1}));
  // From here on as if that step had not been: the next one is Adam's first.
  session.memory.step->load_loss_scale({.value = LossScale::kInitial, .skipped = 1});
  EXPECT_FALSE(session.step(2).overflowed);
  clean.step(1, 2);  // the same batches
  expect_same_bits(session.memory.step->read_values(), clean.memory.step->read_values(), "weights after the first update");
}

TEST_F(HalfTraining, Scale_IsTakenOutOfNormAndUpdate) {
  Session low(config(Precision::f16)), high(config(Precision::f16));
  low.memory.step->load_loss_scale({.value = 1024});
  high.memory.step->load_loss_scale({.value = 4096});
  const double a = low.step(1).grad_norm, b = high.step(1).grad_norm;
  EXPECT_NEAR(a, b, 1e-3 * a);
  const auto x = low.memory.step->read_gradients(), y = high.memory.step->read_gradients();
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-3 * a) << i;
}

}  // namespace
}  // namespace lapilli::test
