#include "model/ops/activation.h"

#include "tests/common/finite_difference.h"
#include "tests/model/ops/activation_support.h"

namespace lapilli::test {
namespace {

using reference::Bounded;

class Gelu : public testing::TestWithParam<uint32_t> {};

TEST_P(Gelu, Forward_MatchesReference) {
  const uint32_t count = GetParam();
  const auto values = awkward_values(count, 1);
  Bench bench;
  const Tensor x = bench.input({count}, values), y = bench.output({count}), in_place = bench.input({count}, values);
  bench.run([&](Ops& ops) {
    gelu_forward(ops, y, x);
    gelu_forward(ops, in_place, in_place);
  });
  std::vector<Bounded> expected;
  for (const float value : values) expected.push_back(reference::gelu(static_cast<double>(value)));
  expect_bounded(bench.read(y), expected, "y");
  expect_same_bits(bench.read(in_place), bench.read(y), "y in place of x");
}

TEST(Gelu, NaN_StaysVisible) {
  Bench bench;
  const Tensor x = bench.input({1}, std::vector<float>{std::numeric_limits<float>::quiet_NaN()}), y = bench.input({1}, std::vector<float>{0.0F});
  bench.run([&](Ops& ops) { gelu_forward(ops, y, x); });
  EXPECT_TRUE(std::isnan(bench.read(y)[0]));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Gelu, testing::Values(1U, 3U, 31U, 97U, 127U, 257U, 1031U, 4099U));

struct Case {
  uint32_t rows, width, row_subgroups;
};
class Swiglu : public testing::TestWithParam<Case> {};

TEST_P(Swiglu, Forward_MatchesReference) {
  const auto [rows, width, row_subgroups] = GetParam();
  const auto values = awkward_values(2 * rows * width, 3);
  Bench bench;
  const Tensor gate_up = bench.input({rows, 2 * width}, values), y = bench.output({rows, width});
  bench.run([&, subgroups = row_subgroups](Ops& ops) {
    ops.row_subgroups = subgroups;
    swiglu_forward(ops, y, gate_up);
  });
  std::vector<Bounded> expected;
  for (uint32_t i = 0; i < rows * width; ++i)
    expected.push_back(reference::Swiglu::forward(static_cast<double>(values[2 * i]), static_cast<double>(values[2 * i + 1])));
  // 1e30 * 1e30 overflows f32, in the reference as in the kernel.
  for (Bounded& element : expected)
    if (std::abs(element.value) > 3.4e38) element.value = std::copysign(3.4e38, element.value), element.bound = HUGE_VAL;
  expect_bounded(bench.read(y), expected, "y");
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const Case& p = info.param;
  return fmt::format("{}x{}{}", p.rows, p.width, p.row_subgroups ? "_FourSubgroups" : "");
}
INSTANTIATE_TEST_SUITE_P(Shapes, Swiglu,
                         testing::Values(Case{1, 1, 0}, Case{3, 7, 0}, Case{2, 8, 0}, Case{5, 17, 0}, Case{97, 31, 0}, Case{3, 1031, 0},
                                         Case{4, 97, 4}),
                         case_name);

TEST(ActivationReference, Backward_AgreesWithFiniteDifferences) {
  const Doubles x{-9.0, -3.1, -0.7, -1e-3, 0.0, 0.2, 1.0, 2.5, 7.0}, d_y = widen(random_values(x.size(), 5));
  const Doubles up = widen(random_values(x.size(), 6, 2.0F));
  Doubles gelu_d_x, d_gate, d_up;
  for (size_t i = 0; i < x.size(); ++i) {
    gelu_d_x.push_back(reference::gelu_backward(d_y[i], x[i]).value);
    d_gate.push_back(reference::Swiglu::d_gate(d_y[i], x[i], up[i]).value);
    d_up.push_back(reference::Swiglu::d_up(d_y[i], x[i]).value);
  }
  const auto tanh_gelu = [&](const Doubles& v) {  // by the published formula
    double loss = 0;
    for (size_t i = 0; i < v.size(); ++i) loss += d_y[i] * 0.5 * v[i] * (1 + std::tanh(std::sqrt(2 / M_PI) * (v[i] + 0.044715 * v[i] * v[i] * v[i])));
    return loss;
  };
  const auto swiglu = [&](const Doubles& gate, const Doubles& ups) {
    double loss = 0;
    for (size_t i = 0; i < gate.size(); ++i) loss += d_y[i] * gate[i] / (1 + std::exp(-gate[i])) * ups[i];
    return loss;
  };
  reference::expect_gradient(tanh_gelu, x, gelu_d_x, "gelu d_x");
  reference::expect_gradient([&](const Doubles& v) { return swiglu(v, up); }, x, d_gate, "d_gate");
  reference::expect_gradient([&](const Doubles& v) { return swiglu(x, v); }, up, d_up, "d_up");
  for (size_t i = 0; i < x.size(); ++i) {
    const double cubic = x[i] + 0.044715 * x[i] * x[i] * x[i];
    EXPECT_NEAR(reference::gelu(x[i]).value, 0.5 * x[i] * (1 + std::tanh(std::sqrt(2 / M_PI) * cubic)), 1e-15 * (1 + std::abs(x[i])));
    EXPECT_NEAR(reference::Swiglu::forward(x[i], up[i]).value, x[i] / (1 + std::exp(-x[i])) * up[i], 1e-14);
  }
}

}  // namespace
}  // namespace lapilli::test
