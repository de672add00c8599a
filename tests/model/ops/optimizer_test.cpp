#include "model/ops/optimizer.h"

#include "tests/common/support.h"
#include "tools/check/reference/reference_optimizer.h"

namespace lapilli::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

struct NormCase {
  uint32_t count, row_subgroups;
};
class GradientNorm : public testing::TestWithParam<NormCase> {};

struct NormResult {
  float norm, scale;
};
NormResult run_norm(const std::vector<float>& values, float clip, uint32_t row_subgroups = 0, uint64_t slice = kSliceElements,
                    std::optional<float> unscale = std::nullopt) {
  const auto count = static_cast<uint32_t>(values.size());
  Bench bench;
  const Tensor gradients = bench.input({count}, values), result = bench.output({2});
  const Tensor scratch = bench.output({static_cast<uint32_t>(gradient_norm_scratch_floats(count))});
  const Tensor tunscale = unscale ? bench.input({1}, std::vector<float>{*unscale}) : Tensor();
  bench.run([&](Ops& ops) {
    ops.row_subgroups = row_subgroups;
    gradient_norm(ops, result, scratch, gradients, tunscale, clip, slice);
  });
  const auto read = bench.read(result);
  return {read[0], read[1]};
}

TEST_P(GradientNorm, NormAndScale_WithinTheDerivedBound) {
  const NormCase p = GetParam();
  const auto values = random_values(p.count, 1);
  const DeviceCaps& caps = device().caps();
  const uint32_t device_workgroup = caps.kernel_class == KernelClass::cpu ? caps.subgroup_size : std::max(256U, caps.subgroup_size);
  const double workgroup = p.row_subgroups != 0 ? p.row_subgroups * caps.subgroup_size : device_workgroup;
  const reference::GradientNorm reference(values, static_cast<double>(gradient_norm_scratch_floats(p.count)), workgroup);
  for (const float clip : {0.0F, 1e-3F, 1e9F}) {
    const NormResult result = run_norm(values, clip, p.row_subgroups);
    const auto limit = static_cast<double>(clip);
    EXPECT_NEAR(result.norm, reference.norm, reference.relative * reference.norm);
    EXPECT_NEAR(result.scale, reference.scale(limit), reference.scale_bound(limit));
    const NormResult again = run_norm(values, clip, p.row_subgroups), sliced = run_norm(values, clip, p.row_subgroups, 2 * 4096);
    EXPECT_EQ(result.norm, again.norm);
    EXPECT_EQ(result.norm, sliced.norm) << "slices change what a dispatch takes, not the order of the sum";
  }
}

std::string norm_name(const testing::TestParamInfo<NormCase>& info) {
  return fmt::format("{}{}", info.param.count, info.param.row_subgroups ? "_FourSubgroups" : "");
}
INSTANTIATE_TEST_SUITE_P(Sizes, GradientNorm,
                         testing::Values(NormCase{1, 0}, NormCase{3, 0}, NormCase{97, 0}, NormCase{1031, 0}, NormCase{4095, 0}, NormCase{4097, 0},
                                         NormCase{100003, 0}, NormCase{100003, 4}, NormCase{5, 4}),
                         norm_name);

// Gradients times 4096, with its inverse, are the gradients: a power of two changes no bit. Clipped, not clipped, not finite.
TEST(GradientNorm, LossScale_IsTakenOutOfNormAndScaleExactly) {
  const auto values = random_values(1031, 5);
  auto scaled = values;
  for (float& value : scaled) value *= 4096;
  for (const float clip : {0.0F, 1.0F, 1e9F}) {
    const NormResult plain = run_norm(values, clip), unscaled = run_norm(scaled, clip, 0, kSliceElements, 1.0F / 4096);
    EXPECT_EQ(unscaled.norm, plain.norm);
    EXPECT_EQ(unscaled.scale, plain.scale / 4096);
  }
  scaled[17] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(std::isfinite(run_norm(scaled, 1, 0, kSliceElements, 1.0F / 4096).norm));
}

TEST(GradientNorm, OneValueAnywhere_IsSeen) {
  for (const uint32_t at : {0U, 63U, 4095U, 4096U, 8191U, 20010U}) {
    std::vector<float> values(20011, 0.0F);
    values[at] = -3.0F;
    // One square among zeros: only the roots' and division's errors are left.
    EXPECT_NEAR(run_norm(values, 0, 0, 4096).norm, 3.0F, 3 * 9 * kEpsilon) << at;
  }
}

TEST(GradientNorm, NotFinite_ShowsInTheNormAndNotInTheScale) {
  for (const float bad : {kNaN, kInfinity, -kInfinity, 1e30F}) {  // the square of 1e30 overflows
    std::vector<float> values = random_values(9001, 2);
    values[8999] = bad;
    const NormResult result = run_norm(values, 1.0F);
    EXPECT_FALSE(std::isfinite(result.norm)) << bad;
    EXPECT_EQ(result.scale, 1.0F) << bad;
  }
  const NormResult zero = run_norm(std::vector<float>(100, 0.0F), 1.0F);
  EXPECT_EQ(zero.norm, 0.0F);
  EXPECT_EQ(zero.scale, 1.0F);
}

struct State {
  std::vector<float> p, m, v, g;
  explicit State(uint32_t count) : p(random_values(count, 1)), m(random_values(count, 2, 0.1F)), v(count), g(random_values(count, 3)) {
    const auto roots = random_values(count, 4, 0.5F);
    for (uint32_t i = 0; i < count; ++i) {
      v[i] = roots[i] * roots[i];
      // Gradients and moments of 0, and so small that their squares are lost.
      if (i % 7 == 3) v[i] = 0, m[i] = 0, g[i] = i % 2 ? 0 : 1e-25F;
    }
  }
};

class AdamW : public testing::TestWithParam<uint32_t> {};

TEST_P(AdamW, Step_MatchesReference) {
  const uint32_t count = GetParam();
  const State s(count);
  const double t = 3;
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  const std::vector<float> scalars{1e-2F, static_cast<float>(1 / (1 - std::pow(options.beta1, t))),
                                   static_cast<float>(1 / (1 - std::pow(options.beta2, t))), 1.0F};
  const std::vector<float> norm{5.0F, 0.2F};
  Bench bench;
  const Tensor p = bench.input({count}, s.p), m = bench.input({count}, s.m), v = bench.input({count}, s.v), g = bench.input({count}, s.g);
  const Tensor step = bench.input({4}, scalars), norm_and_scale = bench.input({2}, norm);
  bench.run([&](Ops& ops) { adamw(ops, p, m, v, {}, g, step, norm_and_scale, options, 500); });
  const auto d = [](float value) { return static_cast<double>(value); };
  const reference::AdamW reference{d(scalars[0]), d(scalars[1]), d(scalars[2]),        options.beta1,
                                   options.beta2, options.eps,   options.weight_decay, d(norm[1])};
  Doubles value[3], bound[3];
  for (uint32_t i = 0; i < count; ++i) {
    const auto e = reference.step(d(s.p[i]), d(s.m[i]), d(s.v[i]), d(s.g[i]));
    value[0].push_back(e.p), bound[0].push_back(e.p_bound);
    value[1].push_back(e.m), bound[1].push_back(e.m_bound);
    value[2].push_back(e.v), bound[2].push_back(e.v_bound);
  }
  expect_close(bench.read(p), value[0], bound[0], "p");
  expect_close(bench.read(m), value[1], bound[1], "m");
  expect_close(bench.read(v), value[2], bound[2], "v");
}

TEST_P(AdamW, NoApplyOrNormNotFinite_LeavesEverythingUntouched) {
  const uint32_t count = GetParam();
  const State s(count);
  const std::vector<float> skip{1e-2F, 1.0F, 1.0F, 0.0F}, apply{1e-2F, 1.0F, 1.0F, 1.0F};
  const std::pair<std::vector<float>, std::vector<float>> cases[] = {{skip, {1, 1}}, {apply, {kNaN, 1}}, {apply, {kInfinity, 1}}};
  for (const auto& [scalars, norm] : cases) {
    Bench bench;
    const Tensor p = bench.input({count}, s.p), m = bench.input({count}, s.m), v = bench.input({count}, s.v);
    const Tensor g = bench.input({count}, s.g), step = bench.input({4}, scalars), norm_and_scale = bench.input({2}, norm);
    bench.run([&](Ops& ops) { adamw(ops, p, m, v, {}, g, step, norm_and_scale, {.weight_decay = 0.1}); });
    expect_same_bits(bench.read(p), s.p, "p");
    expect_same_bits(bench.read(m), s.m, "m");
    expect_same_bits(bench.read(v), s.v, "v");
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, AdamW, testing::Values(1U, 17U, 97U, 257U, 1031U));

// From zero moments m_hat = g and v_hat = g^2, so that the first step is lr * sign(g), and decay is lr * wd of p.
TEST(AdamW, FirstStep_MovesByTheLearningRate) {
  const std::vector<float> scalars{0.5F, 10.0F, 1000.0F, 1.0F}, values{2.0F, 2.0F}, zeros{0.0F, 0.0F}, gradients{3.0F, -1e-3F};
  Bench bench;
  const Tensor p = bench.input({2}, values), m = bench.input({2}, zeros), v = bench.input({2}, zeros), g = bench.input({2}, gradients);
  const Tensor step = bench.input({4}, scalars);
  bench.run([&](Ops& ops) { adamw(ops, p, m, v, {}, g, step, {}, {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-12, .weight_decay = 0.25}); });
  const auto moved = bench.read(p);
  EXPECT_NEAR(moved[0], 2 - 0.25 - 0.5, 1e-5);  // some 50 roundings of values up to 2
  EXPECT_NEAR(moved[1], 2 - 0.25 + 0.5, 1e-5);
}

// PyTorch's update rule, many steps, against its own closed form: with a constant gradient m_hat = g and v_hat = g^2 at
// every step, so that t steps move p by t * lr.
TEST(OptimizerReference, AdamW_ConstantGradientMovesByTheLearningRateEachStep) {
  double p = 1, m = 0, v = 0;
  for (int t = 1; t <= 20; ++t) {
    const reference::AdamW adamw{1e-2, 1 / (1 - std::pow(0.9, t)), 1 / (1 - std::pow(0.999, t)), 0.9, 0.999, 0, 0, 0.5};
    const auto e = adamw.step(p, m, v, 4.0);
    p = e.p, m = e.m, v = e.v;
  }
  EXPECT_NEAR(p, 1 - 20 * 1e-2, 1e-12);
}

}  // namespace
}  // namespace lapilli::test
