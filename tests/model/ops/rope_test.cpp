#include "model/ops/rope.h"

#include <cmath>
#include <numbers>

#include "tests/common/finite_difference.h"
#include "tests/common/support.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::test {
namespace {

struct Case {
  uint32_t rows, context, heads, kv_heads, head_width;
  uint32_t row_subgroups;
  uint32_t width() const { return (heads + 2 * kv_heads) * head_width; }
};
class Rope : public testing::TestWithParam<Case> {};

constexpr float kTheta = 10000.0F;

// The rule as Hugging Face's documentation of rope_type "llama3" states it, by wavelengths.
TEST(RopeScaling, Llama3_SlowsLongWavelengths) {
  const RopeScaling scaling{.kind = RopeScalingKind::llama3, .factor = 32, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 8192};
  const std::vector<double> plain = rope_frequencies(64, 500000), scaled = rope_frequencies(64, 500000, scaling);
  ASSERT_EQ(plain.size(), 32U);
  uint32_t kept = 0, slowed = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wavelength = 2 * std::numbers::pi / plain[i];
    double expected = plain[i] / 32;
    if (wavelength < 8192.0 / 4) expected = plain[i];
    else if (wavelength <= 8192.0) {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      expected = (1 - smooth) * plain[i] / 32 + smooth * plain[i];
    }
    EXPECT_NEAR(scaled[i], expected, 1e-15 * plain[i] * 16) << i;
    kept += scaled[i] == plain[i];
    slowed += std::fabs(scaled[i] - plain[i] / 32) < 1e-15;
  }
  EXPECT_GT(kept, 5U);
  EXPECT_GT(slowed, 5U);
  EXPECT_LT(kept + slowed, 32U);
}

TEST_P(Rope, ForwardAndBackward_MatchReference) {
  const Case p = GetParam();
  const auto values = random_values(uint64_t{p.rows} * p.width(), 1);
  Bench bench;
  const Tensor cos_sin_table =
      bench.input({p.context + 3, p.head_width}, make_cos_sin_table(p.context + 3, p.head_width, kTheta));  // more rows than it needs
  const Rotary rotary{.cos_sin_table = cos_sin_table, .context = p.context, .rotary_heads = p.heads + p.kv_heads};
  const Tensor rotated = bench.input({p.rows, p.width()}, values), back = bench.input({p.rows, p.width()}, values);
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    rope(ops, rotated, rotary, RopeDirection::forward);
    rope(ops, back, rotary, RopeDirection::backward);
  });
  const reference::Rope reference{p.rows, p.context, p.heads + p.kv_heads, p.head_width, p.width(), kTheta};
  for (const auto& [result, direction, name] : {std::tuple(rotated, 1.0, "forward"), std::tuple(back, -1.0, "backward")}) {
    Doubles bound(values.size());
    const Doubles expected = reference.rotate(widen(values), direction, &bound);
    expect_close(bench.read(result), expected, bound, name);
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const Case& p = info.param;
  return fmt::format("{}of{}_{}q{}kv_E{}{}", p.rows, p.context, p.heads, p.kv_heads, p.head_width, p.row_subgroups ? "_FourSubgroups" : "");
}
INSTANTIATE_TEST_SUITE_P(Shapes, Rope,
                         testing::Values(Case{1, 1, 1, 1, 2, 0}, Case{6, 3, 1, 1, 4, 0}, Case{10, 5, 3, 1, 6, 0}, Case{34, 17, 4, 2, 16, 0},
                                         Case{31, 31, 2, 2, 34, 0}, Case{9, 9, 3, 3, 64, 0}, Case{97, 97, 4, 1, 32, 0}, Case{6, 3, 5, 1, 62, 4}),
                         case_name);

TEST(CosSinTable, LastOf8192Positions_ExactToTheLastBit) {
  const std::vector<float> cos_sin_table = make_cos_sin_table(8192, 64, 10000.0);
  ASSERT_EQ(cos_sin_table.size(), 8192U * 64U);
  // Pair 0 rotates by 1 radian per position, pair 16 by 10000^-0.5 = 0.01.
  EXPECT_EQ(cos_sin_table[8191 * 64], static_cast<float>(std::cos(8191.0)));
  EXPECT_EQ(cos_sin_table[8191 * 64 + 1], static_cast<float>(std::sin(8191.0)));
  EXPECT_NEAR(cos_sin_table[8191 * 64 + 33], std::sin(81.91), 1e-7);
}

TEST(RopeReference, Backward_AgreesWithFiniteDifferences) {
  const reference::Rope reference{4, 2, 3, 6, 24, 100.0};
  const Doubles qkv = widen(random_values(4 * reference.row_stride, 1)), d = widen(random_values(qkv.size(), 2));
  reference::expect_gradient([&](const Doubles& v) { return reference::dot(d, reference.rotate(v, 1)); }, qkv, reference.rotate(d, -1), "d_qkv");
}

}  // namespace
}  // namespace lapilli::test
