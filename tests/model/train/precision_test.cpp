// Training with 16-bit operands, in memory too: loss scaling, agreement with f32, and copies of weights.

#include <cmath>

#include "model/loss/loss_scale.h"
#include "tests/model/train/training_session.h"

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

TEST(LossScale, OverflowAtOne_NoScaleHelps) {
  LossScale scale(Precision::f16, {.value = 1, .good_steps = 3, .skipped = 2});
  EXPECT_FALSE(scale.note_overflow());
  EXPECT_EQ(scale.state(), (LossScaleState{.value = 1, .good_steps = 3, .skipped = 2}));
  EXPECT_FALSE(LossScale(Precision::f32).note_overflow());
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
    ASSERT_EQ(actual.skipped, Skipped::no) << s;
    EXPECT_NEAR(actual.loss(), expected.loss(), 0.01 * expected.loss()) << s;
    EXPECT_NEAR(actual.grad_norm, expected.grad_norm, 0.05 * expected.grad_norm) << s;
    if (s == 1) first = actual.loss();
    last = actual.loss();
  }
  EXPECT_LT(last, 0.8 * first);
}

// Of the first step, in the mean over all parameters.
void expect_gradients_agree(const Config& full, const Config& half) {
  Session f32(full), f16(half);
  f32.step(1);
  ASSERT_EQ(f16.step(1).skipped, Skipped::no);
  const auto expected = f32.memory.step->read_gradients(), actual = f16.memory.step->read_gradients();
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  // Each operand has an error of at most 2^-11. In backward, a gradient passes through the 2 matmuls of the loss, and
  // in each of the 2 layers through those of 4 weights and 2 of attention (d_o vt, d_s k), with 2 operands each: 28
  // roundings. A 16-bit tensor adds one rounding if it is not, or not only, an operand: the input of the nonlinearity,
  // the gradients after it and after 2 norms, queries and keys before rotation, and their gradients: 6 per layer. In
  // the worst case all errors add up.
  EXPECT_LT(std::sqrt(error / size), (28 + 2 * 6) * 0x1p-11);
  EXPECT_GT(error, 0) << "f16 operands should show";
}
TEST_F(HalfTraining, FirstStep_GradientsAgreeWithF32) { expect_gradients_agree(config(Precision::f32), config(Precision::f16)); }

// The other kernels: LayerNorm, GELU, biases, tied embeddings; dropout, with the same random numbers in both;
// recomputed activations.
TEST_F(HalfTraining, FirstStepOfAGptWithDropoutAndRecompute_GradientsAgreeWithF32) {
  const auto gpt = [&](Precision precision) {
    Config c = config(precision);
    c.model.kv_heads = 4;
    c.model.norm = NormKind::layernorm;
    c.model.mlp = MlpKind::gelu;
    c.model.position = PositionKind::learned;
    c.model.bias = c.model.tie_embeddings = c.train.recompute = true;
    c.model.dropout = 0.1F;
    return c;
  };
  expect_gradients_agree(gpt(Precision::f32), gpt(Precision::f16));
}

// Rows that are not whole words stay f32, but operands are rounded the same way.
TEST_F(HalfTraining, FirstStepOfOddWidths_GradientsAgreeWithF32) {
  const auto odd = [&](Precision precision) {
    Config c = config(precision);
    c.model.heads = c.model.kv_heads = 3;
    c.model.dim = 15;
    c.model.ffn_dim = 41;
    c.model.position = PositionKind::learned;
    return c;
  };
  expect_gradients_agree(odd(Precision::f32), odd(Precision::f16));
  EXPECT_FALSE(Session(odd(Precision::f16)).memory.weights->shadow_weights());
}

TEST_F(HalfTraining, ShadowWeights_AreTheRoundedWeightsAfterLoadAndAfterEachStep) {
  for (const bool tied : {false, true}) {
    Config c = config(Precision::f16);
    c.model.tie_embeddings = tied;
    Session session(c);
    const ModelWeights& weights = *session.memory.weights;
    ASSERT_EQ(weights.shadow_weights().elements(), session.table.decayed_count() - weights.first_shadowed());
    EXPECT_EQ(weights.first_shadowed(), tied ? 0 : session.table["wte.weight"].shape.elements());
    for (uint64_t s = 0; s <= 2; ++s) {
      if (s > 0) {
        ASSERT_EQ(session.step(s).skipped, Skipped::no);
      }
      const auto values = read_slice<float>(device(), weights.parameters().all().slice());  // both in the device's order of rows
      const auto bits = read_slice<uint16_t>(device(), weights.shadow_weights().slice());
      for (uint64_t i = 0; i < weights.shadow_weights().elements(); ++i)
        ASSERT_EQ(bits[i], round_to_bits(values[weights.first_shadowed() + i], DType::f16)) << "element " << i << " after step " << s;
    }
    const Tensor head = weights.operand(weights.head_name(), Precision::f16);
    EXPECT_EQ(head.dtype(), DType::f16);
    EXPECT_EQ(read_slice<uint16_t>(device(), head.slice())[5], round_to_bits(read_slice<float>(device(), weights.head().slice())[5], DType::f16));
    EXPECT_EQ(weights.operand(weights.head_name(), Precision::f32).dtype(), DType::f32);
  }
}

// Copies are recomputed from a checkpoint's f32 weights, and a run continues as if it had not been interrupted.
TEST_F(HalfTraining, GoingOnFromF32Weights_GivesTheSameBits) {
  Session whole(config(Precision::f16)), resumed(config(Precision::f16));
  whole.step(1);
  whole.step(2);
  resumed.memory.weights->load(device(), whole.memory.step->read_values());
  TrainingState state{.first_moment = whole.memory.step->read_first_moment(), .second_moment = whole.memory.step->read_second_moment()};
  whole.memory.step->store_counters(state);
  resumed.memory.step->load(state);
  EXPECT_EQ(resumed.step(3).loss(), whole.step(3).loss());
  expect_same_bits(resumed.memory.step->read_values(), whole.memory.step->read_values(), "weights");
}

TEST_F(HalfTraining, MemoryPlan_ShowsTheShadowWeightsAndSmallerActivations) {
  const Session f32(config(Precision::f32)), f16(config(Precision::f16));
  EXPECT_EQ(f32.memory.kept.bytes_by_kind().count("weights (f16)"), 0U);
  EXPECT_EQ(f16.memory.kept.bytes_by_kind().at("weights (f16)"), round_up(2 * f16.memory.weights->shadow_weights().elements(), 256));
  EXPECT_EQ(f16.memory.kept.bytes_by_kind().at("parameters"), f32.memory.kept.bytes_by_kind().at("parameters"));
  EXPECT_LT(f16.memory.scratch.bytes_by_kind().at("activations"), f32.memory.scratch.bytes_by_kind().at("activations"));
}

TEST_F(HalfTraining, OverflowingGradients_SkipTheStepAndHalveTheScale) {
  Session session(config(Precision::f16)), clean(config(Precision::f16));
  const double huge = std::exp2(60);
  session.memory.step->load({.loss_scale = {.value = huge}});
  const auto before = session.memory.step->read_values();
  EXPECT_EQ(session.step(1).skipped, Skipped::overflow);
  expect_same_bits(session.memory.step->read_values(), before, "weights");
  for (const float m : session.memory.step->read_second_moment()) ASSERT_EQ(m, 0.0F);
  EXPECT_EQ(session.memory.step->loss_scale().state(), (LossScaleState{.value = huge / 2, .good_steps = 0, .skipped = 1}));
  // From here on that step has no effect: the next one is Adam's first.
  session.memory.step->load({.loss_scale = {.value = LossScale::kInitial, .skipped = 1}});
  EXPECT_EQ(session.step(2).skipped, Skipped::no);
  clean.step(1, 2);  // the same batches
  expect_same_bits(session.memory.step->read_values(), clean.memory.step->read_values(), "weights after the first update");
}

TEST_F(HalfTraining, Scale_IsTakenOutOfNormAndUpdate) {
  Session low(config(Precision::f16)), high(config(Precision::f16));
  low.memory.step->load({.loss_scale = {.value = 1024}});
  high.memory.step->load({.loss_scale = {.value = 4096}});
  const double a = low.step(1).grad_norm, b = high.step(1).grad_norm;
  EXPECT_NEAR(a, b, 1e-3 * a);
  const auto x = low.memory.step->read_gradients(), y = high.memory.step->read_gradients();
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-3 * a) << i;
}

}  // namespace
}  // namespace lapilli::test
