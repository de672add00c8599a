#include "model/activation.h"

#include "tests/reference/activation.h"
#include "tests/reference/finite_difference.h"
#include "tests/support.h"

namespace lapilli::test {
namespace {

using reference::Bounded;

// Values that matter for training, then the edges: tails where the sigmoid underflows, squares and cubes that overflow.
std::vector<float> awkward_values(uint32_t count, uint32_t seed) {
  const std::vector<float> edges{0.0F, -0.0F, 1e-30F, -1e-30F, 4.0F, -4.0F, 9.5F, -9.5F, 11.2F, -11.2F, 60.0F, -60.0F, 87.5F, -87.5F,
                                 99.0F, -99.0F, 101.0F, -101.0F, 1e4F, -1e4F, 1e15F, -1e15F, 1e30F, -1e30F};
  std::vector<float> values = random_values(count, seed, 8.0F);
  for (size_t i = 0; i < edges.size(); ++i) values[values.size() * i / edges.size()] = edges[i];
  return values;
}

void expect_bounded(const std::vector<float>& actual, const std::vector<Bounded>& expected, const char* what) {
  Doubles value, bound;
  for (const Bounded& element : expected) value.push_back(element.value), bound.push_back(element.bound);
  expect_close(actual, value, bound, what);
}

class Gelu : public testing::TestWithParam<uint32_t> {};

TEST_P(Gelu, ForwardAndBackward_MatchReference) {
  const uint32_t count = GetParam();
  const auto values = awkward_values(count, 1), gradients = random_values(count, 2);
  Bench bench;
  const Tensor x = bench.input({count}, values), d_y = bench.input({count}, gradients);
  const Tensor y = bench.output({count}), d_x = bench.output({count}), in_place = bench.input({count}, gradients);
  bench.run([&](Ops& ops) {
    gelu_forward(ops, y, x);
    gelu_backward(ops, d_x, d_y, x);
    gelu_backward(ops, in_place, in_place, x);
  });
  std::vector<Bounded> expected_y, expected_d_x;
  for (uint32_t i = 0; i < count; ++i) {
    expected_y.push_back(reference::gelu(static_cast<double>(values[i])));
    expected_d_x.push_back(reference::gelu_backward(static_cast<double>(gradients[i]), static_cast<double>(values[i])));
  }
  expect_bounded(bench.read(y), expected_y, "y");
  expect_bounded(bench.read(d_x), expected_d_x, "d_x");
  expect_same_bits(bench.read(in_place), bench.read(d_x), "d_x in place of d_y");
}

TEST(Gelu, NaN_StaysVisible) {
  Bench bench;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = bench.input({1}, std::vector<float>{nan}), d_y = bench.input({1}, std::vector<float>{1.0F});
  const Tensor y = bench.input({1}, std::vector<float>{0.0F}), d_x = bench.input({1}, std::vector<float>{0.0F});
  bench.run([&](Ops& ops) {
    gelu_forward(ops, y, x);
    gelu_backward(ops, d_x, d_y, x);
  });
  EXPECT_TRUE(std::isnan(bench.read(y)[0]));
  EXPECT_TRUE(std::isnan(bench.read(d_x)[0]));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Gelu, testing::Values(1U, 3U, 31U, 97U, 127U, 257U, 1031U, 4099U));

struct Case {
  uint32_t rows, width, row_subgroups;
};
class Swiglu : public testing::TestWithParam<Case> {};

TEST_P(Swiglu, ForwardAndBackward_MatchReference) {
  const auto [rows, width, row_subgroups] = GetParam();
  const uint32_t count = rows * width;
  const auto values = awkward_values(2 * count, 3), gradients = random_values(count, 4);
  Bench bench;
  const Tensor gate_up = bench.input({rows, 2 * width}, values), in_place = bench.input({rows, 2 * width}, values);
  const Tensor d_y = bench.input({rows, width}, gradients), y = bench.output({rows, width});
  const Tensor d_gate_up = bench.output({rows, 2 * width});
  bench.run([&](Ops& ops) {
    ops.row_subgroups = row_subgroups;
    swiglu_forward(ops, y, gate_up);
    swiglu_backward(ops, d_gate_up, d_y, gate_up);
    swiglu_backward(ops, in_place, d_y, in_place);
  });
  std::vector<Bounded> expected_y, expected_d(2 * count);
  for (uint32_t row = 0; row < rows; ++row)
    for (uint32_t col = 0; col < width; ++col) {
      const uint32_t gate_at = row * 2 * width + col, up_at = gate_at + width;
      const double gate = static_cast<double>(values[gate_at]), up = static_cast<double>(values[up_at]);
      const double d = static_cast<double>(gradients[row * width + col]);
      expected_y.push_back(reference::Swiglu::forward(gate, up));
      expected_d[gate_at] = reference::Swiglu::d_gate(d, gate, up);
      expected_d[up_at] = reference::Swiglu::d_up(d, gate);
    }
  // 1e30 * 1e30 has no f32: the reference overflows where the kernel does.
  for (Bounded& element : expected_y)
    if (std::abs(element.value) > 3.4e38) element.value = std::copysign(3.4e38, element.value), element.bound = HUGE_VAL;
  expect_bounded(bench.read(y), expected_y, "y");
  expect_bounded(bench.read(d_gate_up), expected_d, "d_gate_up");
  expect_same_bits(bench.read(in_place), bench.read(d_gate_up), "d_gate_up in place of gate_up");
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
    for (size_t i = 0; i < v.size(); ++i)
      loss += d_y[i] * 0.5 * v[i] * (1 + std::tanh(std::sqrt(2 / M_PI) * (v[i] + 0.044715 * v[i] * v[i] * v[i])));
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
