#include "model/ops/rope.h"

#include "tests/reference/finite_difference.h"
#include "tests/reference/rope.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

struct Case {
  uint32_t rows, context, heads, kv_heads, head_width;
  uint32_t row_subgroups;
  uint32_t width() const { return (heads + 2 * kv_heads) * head_width; }
};
class Rope : public testing::TestWithParam<Case> {};

constexpr float kTheta = 10000.0F;

TEST_P(Rope, ForwardAndBackward_MatchReference) {
  const Case p = GetParam();
  const auto values = random_values(uint64_t{p.rows} * p.width(), 1);
  Bench bench;
  const Tensor turns = bench.input({p.context + 3, p.head_width}, make_turns(p.context + 3, p.head_width, kTheta));  // more rows than it needs
  const Rotary rotary{.turns = turns, .context = p.context, .turned_heads = p.heads + p.kv_heads};
  const Tensor turned = bench.input({p.rows, p.width()}, values), back = bench.input({p.rows, p.width()}, values);
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    rope(ops, turned, rotary, RopeDirection::forward);
    rope(ops, back, rotary, RopeDirection::backward);
  });
  const reference::Rope reference{p.rows, p.context, p.heads + p.kv_heads, p.head_width, p.width(), kTheta};
  for (const auto& [result, direction, name] : {std::tuple(turned, 1.0, "forward"), std::tuple(back, -1.0, "backward")}) {
    Doubles bound(values.size());
    const Doubles expected = reference.turn(widen(values), direction, &bound);
    expect_close(bench.read(result), expected, bound, name);
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const Case& p = info.param;
  return fmt::format("{}of{}_{}q{}kv_E{}{}", p.rows, p.context, p.heads, p.kv_heads, p.head_width, p.row_subgroups ? "_FourSubgroups" : "");
}
INSTANTIATE_TEST_SUITE_P(Shapes, Rope,
                         testing::Values(Case{1, 1, 1, 1, 2, 0}, Case{6, 3, 1, 1, 4, 0}, Case{10, 5, 3, 1, 6, 0}, Case{34, 17, 4, 2, 16, 0},
                                         Case{31, 31, 2, 2, 34, 0}, Case{9, 9, 3, 3, 64, 0}, Case{97, 97, 4, 1, 32, 0},
                                         Case{6, 3, 5, 1, 62, 4}),
                         case_name);

TEST(Turns, LastOf8192Positions_RightToTheLastBit) {
  const std::vector<float> turns = make_turns(8192, 64, 10000.0);
  ASSERT_EQ(turns.size(), 8192U * 64U);
  // Pair 0 rotates by 1 radian per position, pair 16 by 10000^-0.5 = 0.01.
  EXPECT_EQ(turns[8191 * 64], static_cast<float>(std::cos(8191.0)));
  EXPECT_EQ(turns[8191 * 64 + 1], static_cast<float>(std::sin(8191.0)));
  EXPECT_NEAR(turns[8191 * 64 + 33], std::sin(81.91), 1e-7);
}

TEST(RopeReference, Backward_AgreesWithFiniteDifferences) {
  const reference::Rope reference{4, 2, 3, 6, 24, 100.0};
  const Doubles qkv = widen(random_values(4 * reference.row_stride, 1)), d = widen(random_values(qkv.size(), 2));
  reference::expect_gradient([&](const Doubles& v) { return reference::dot(d, reference.turn(v, 1)); }, qkv, reference.turn(d, -1), "d_qkv");
}

}  // namespace
}  // namespace lapilli::test
