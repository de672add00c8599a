// strategy = "auto": the budget excludes plans, a measurement chooses, and the choice can be repeated without
// measuring.
#include "model/loss/loss_plan_tuning.h"

#include "shaders/embedded_shaders.h"
#include "tests/common/files.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

constexpr LossShape kShape{.tokens = 1536, .dim = 16, .vocab = 640};  // 3.75 MiB of logits

TunedLoss tune(const std::filesystem::path& file, const LossOptions& options, const LossShape& shape = kShape, bool measure = true) {
  Tuner tuner(device().caps(), embedded_shaders_hash(), {.measure = measure, .file = file, .seconds_budget = 0.2});
  KernelTuner kernel_tuner(kernels(), tuner);
  return tune_loss(kernel_tuner, options, shape, matmul_kernel(device().caps(), Precision::f32));
}

TEST(LossTuning, OneCandidate_IsTakenWithoutMeasuring) {
  const lapilli::testing::TempDir folder;
  const TunedLoss tuned = tune(folder / "tuning.json", {.strategy = LossStrategy::vocab, .chunk = 100});
  EXPECT_EQ(tuned.plan.strategy, LossStrategy::vocab);
  EXPECT_EQ(tuned.options.chunk, 100U);
  EXPECT_EQ(tuned.reason, "");
  EXPECT_FALSE(std::filesystem::exists(folder / "tuning.json"));
}

TEST(LossTuning, AllPlansFit_MeasuresThenRemembers) {
  const lapilli::testing::TempDir folder;
  const TunedLoss first = tune(folder / "tuning.json", {.memory_mib = 64});
  EXPECT_EQ(first.reason.find("measured: "), 0U) << first.reason;
  EXPECT_NE(first.reason.find("full"), std::string::npos) << first.reason;
  EXPECT_NE(first.reason.find("tokens"), std::string::npos) << first.reason;
  const TunedLoss second = tune(folder / "tuning.json", {.memory_mib = 64});
  EXPECT_EQ(second.reason.find("remembered"), 0U) << second.reason;
  EXPECT_EQ(second.plan.to_string(), first.plan.to_string());
}

TEST(LossTuning, ChosenOptions_GiveTheChosenPlanAgain) {
  const lapilli::testing::TempDir folder;
  for (const uint64_t memory_mib : {64U, 4U, 1U}) {
    const TunedLoss tuned = tune(folder / "tuning.json", {.memory_mib = memory_mib});
    EXPECT_NE(tuned.options.strategy, LossStrategy::automatic);
    EXPECT_EQ(plan_loss(tuned.options, kShape, true).to_string(), tuned.plan.to_string()) << memory_mib << " MiB";
  }
}

TEST(LossTuning, Budget_ExcludesPlansThatDoNotFit) {
  for (const LossPlan& plan : loss_candidates({.memory_mib = 2}, kShape)) {
    EXPECT_NE(plan.strategy, LossStrategy::full);
    EXPECT_LE(plan.logits_buffer_bytes() + uint64_t{8} * plan.row_chunk * kShape.dim, 2U << 20) << plan.to_string();
  }
}

TEST(LossTuning, NotMeasuring_TakesTheFirstThatFits) {
  const lapilli::testing::TempDir folder;
  const TunedLoss tuned = tune(folder / "tuning.json", {.memory_mib = 64}, kShape, false);
  EXPECT_EQ(tuned.plan.strategy, LossStrategy::full);
  EXPECT_FALSE(std::filesystem::exists(folder / "tuning.json"));
}

// A shape of 6 TFLOP is measured with fewer columns, and with a teacher.
TEST(LossTuning, LargeShape_IsMeasuredQuickly) {
  const lapilli::testing::TempDir folder;
  const LossShape shape{.tokens = 2048, .dim = 64, .vocab = 131072, .teacher_dim = 32};
  const TunedLoss tuned = tune(folder / "tuning.json", {.memory_mib = 1100, .distillation = 0.5F}, shape);
  EXPECT_EQ(tuned.reason.find("measured: "), 0U) << tuned.reason;
}

}  // namespace
}  // namespace lapilli::test
