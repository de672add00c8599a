#include "model/ops/norm.h"

#include "tests/common/finite_difference.h"
#include "tests/common/support.h"
#include "tools/check/reference/reference_norm.h"

namespace lapilli::test {
namespace {

constexpr float kEps = 1e-5F;

struct Case {
  uint32_t rows, dim;
  bool centred;
  uint32_t row_subgroups;  // 0: the device's default

  reference::Norm reference() const { return {rows, dim, centred, static_cast<double>(kEps)}; }
  double row_roundings(const Ops& ops) const { return reference::row_sum_roundings(dim, norm_workgroup(ops, dim)); }
  double column_roundings() const {
    const RowBlocks blocks = norm_blocks(rows);
    return blocks.rows_per_block + blocks.count;  // or in fewer, where they are many
  }
};

class Norm : public testing::TestWithParam<Case> {};

struct Data {
  std::vector<float> x, weight, bias, d_y;
  explicit Data(const Case& p)
      : x(random_values(uint64_t{p.rows} * p.dim, 1, 2.0F)),
        weight(random_values(p.dim, 2)),
        bias(random_values(p.dim, 3)),
        d_y(random_values(uint64_t{p.rows} * p.dim, 4)) {
    for (float& value : x) value += 0.5F;  // a significant mean
  }
};

TEST_P(Norm, Forward_MatchesReference) {
  const Case p = GetParam();
  const Data data(p);
  Bench bench;
  const Tensor x = bench.input({p.rows, p.dim}, data.x), weight = bench.input({p.dim}, data.weight);
  const Tensor bias = bench.input({p.dim}, data.bias), y = bench.output({p.rows, p.dim});
  const Tensor mean = bench.output({p.rows}), rstd = bench.output({p.rows});
  double row_roundings = 0;
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    row_roundings = p.row_roundings(ops);
    if (p.centred) layernorm_forward(ops, y, mean, rstd, x, weight, bias, kEps);
    else rmsnorm_forward(ops, y, rstd, x, weight, kEps);
  });
  const auto expected = p.reference().forward(widen(data.x), widen(data.weight), p.centred ? widen(data.bias) : Doubles{}, row_roundings);
  if (p.centred) expect_close(bench.read(mean), expected.mean, expected.mean_bound, "mean");
  expect_close(bench.read(rstd), expected.rstd, expected.rstd_bound, "rstd");
  expect_close(bench.read(y), expected.y, expected.y_bound, "y");
}

TEST_P(Norm, Backward_MatchesReferenceAndRerunsToTheBit) {
  const Case p = GetParam();
  const Data data(p);
  const auto saved = p.reference().forward(widen(data.x), widen(data.weight), {}, 0);
  const auto mean_values = narrow(saved.mean), rstd_values = narrow(saved.rstd);
  const auto old_x = random_values(data.x.size(), 5), old_weight = random_values(p.dim, 6);
  Bench bench;
  const Tensor x = bench.input({p.rows, p.dim}, data.x), weight = bench.input({p.dim}, data.weight);
  const Tensor mean = bench.input({p.rows}, mean_values), rstd = bench.input({p.rows}, rstd_values);
  const Tensor d_y = bench.input({p.rows, p.dim}, data.d_y), in_place = bench.input({p.rows, p.dim}, data.d_y);
  const Tensor scratch = bench.output({static_cast<uint32_t>(norm_scratch_floats(p.rows, p.dim))});
  const Tensor d_x = bench.output({p.rows, p.dim}), d_weight = bench.output({p.dim}), d_bias = bench.output({p.dim});
  const Tensor sum_x = bench.input({p.rows, p.dim}, old_x), sum_weight = bench.input({p.dim}, old_weight);
  const Tensor sum_bias = bench.input({p.dim}, old_weight), again_weight = bench.output({p.dim});
  double row_roundings = 0;
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    row_roundings = p.row_roundings(ops);
    const auto record = [&](Tensor into_x, Tensor into_weight, Tensor into_bias, ConstTensor from, Into into) {
      if (p.centred) layernorm_backward(ops, into_x, into_weight, into_bias, scratch, from, x, mean, rstd, weight, into, into);
      else rmsnorm_backward(ops, into_x, into_weight, scratch, from, x, rstd, weight, into, into);
    };
    record(d_x, d_weight, d_bias, d_y, Into::overwrite);
    record(sum_x, sum_weight, sum_bias, d_y, Into::accumulate);
    record(in_place, again_weight, {}, in_place, Into::overwrite);
  });
  auto expected = p.reference().backward(widen(data.d_y), widen(data.x), widen(mean_values), widen(rstd_values), widen(data.weight), row_roundings,
                                         p.column_roundings());
  expect_close(bench.read(d_x), expected.d_x, expected.d_x_bound, "d_x");
  expect_close(bench.read(d_weight), expected.d_weight, expected.d_weight_bound, "d_weight");
  if (p.centred) expect_close(bench.read(d_bias), expected.d_bias, expected.d_bias_bound, "d_bias");
  expect_same_bits(bench.read(in_place), bench.read(d_x), "d_x in place of d_y");
  expect_same_bits(bench.read(again_weight), bench.read(d_weight), "d_weight again");

  // Accumulation adds to the result of the same run, with one more rounding.
  const auto expect_added = [&](const Tensor& sum, const Tensor& plain, const std::vector<float>& old, const char* what) {
    Doubles value = widen(bench.read(plain));
    for (size_t i = 0; i < value.size(); ++i) value[i] += static_cast<double>(old[i]);
    expect_close(bench.read(sum), value, 1, 0, what);
  };
  expect_added(sum_x, d_x, old_x, "accumulated d_x");
  expect_added(sum_weight, d_weight, old_weight, "accumulated d_weight");
  if (p.centred) expect_added(sum_bias, d_bias, old_weight, "accumulated d_bias");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const bool centred : {true, false}) {
    for (const auto& [rows, dim] : std::vector<std::array<uint32_t, 2>>{{1, 1},
                                                                        {1, 7},
                                                                        {3, 4},
                                                                        {5, 8},
                                                                        {2, 9},
                                                                        {17, 15},
                                                                        {4, 16},
                                                                        {9, 17},
                                                                        {97, 33},
                                                                        {31, 97},
                                                                        {257, 64},
                                                                        {7, 257},
                                                                        {3, 1031},
                                                                        {18, 36},
                                                                        {33, 62},
                                                                        {5, 1030},
                                                                        {1041, 6}})
      all.push_back({rows, dim, centred, 0});
    for (const uint32_t dim : {1U, 31U, 130U}) all.push_back({5, dim, centred, 4});
  }
  return all;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const Case& p = info.param;
  return fmt::format("{}_{}x{}{}", p.centred ? "Layer" : "Rms", p.rows, p.dim, p.row_subgroups ? "_FourSubgroups" : "");
}

INSTANTIATE_TEST_SUITE_P(Shapes, Norm, testing::ValuesIn(cases()), case_name);

TEST(NormReference, Backward_AgreesWithFiniteDifferences) {
  for (const bool centred : {true, false}) {
    const reference::Norm norm{3, 5, centred, 1e-5};
    const Doubles x = widen(random_values(15, 1)), weight = widen(random_values(5, 2)), d_y = widen(random_values(15, 3));
    const Doubles bias = widen(random_values(5, 4));
    const auto f = norm.forward(x, weight, bias, 0);
    const auto b = norm.backward(d_y, x, f.mean, f.rstd, weight, 0, 0);
    const auto loss = [&](const Doubles& xs, const Doubles& ws, const Doubles& bs) { return reference::dot(d_y, norm.forward(xs, ws, bs, 0).y); };
    reference::expect_gradient([&](const Doubles& v) { return loss(v, weight, bias); }, x, b.d_x, "d_x");
    reference::expect_gradient([&](const Doubles& v) { return loss(x, v, bias); }, weight, b.d_weight, "d_weight");
    reference::expect_gradient([&](const Doubles& v) { return loss(x, weight, v); }, bias, b.d_bias, "d_bias");
  }
}

// mean^2 is 1e6 times the variance: squares minus squared mean would have no correct digit in f32 (2^-24 * 1e6 = 6%).
// Values are multiples of 2^-8 below 2^10 + 1 and the row has 64 of them, so every partial sum is exact.
TEST(LayerNorm, LargeMean_KeepsTheVariance) {
  constexpr uint32_t kDim = 64;
  std::vector<float> values(kDim);
  for (uint32_t i = 0; i < kDim; ++i) values[i] = 1000.0F + static_cast<float>(static_cast<int>(i * 37 % kDim) - 32) / 32;
  const std::vector<float> ones(kDim, 1.0F);
  Bench bench;
  const Tensor x = bench.input({1, kDim}, values), weight = bench.input({kDim}, ones), y = bench.output({1, kDim});
  const Tensor mean = bench.output({1}), rstd = bench.output({1});
  bench.run([&](Ops& ops) { layernorm_forward(ops, y, mean, rstd, x, weight, {}, kEps); });
  const auto expected = reference::Norm{1, kDim, true, static_cast<double>(kEps)}.forward(widen(values), widen(ones), {}, 0);
  // The mean has a division's error, 5u * 1000 = 3e-4, whose square adds to the variance: below 1e-6 of 1/3.
  expect_close(bench.read(mean), expected.mean, {1000 * reference::kDivision}, "mean");
  expect_close(bench.read(rstd), expected.rstd, {1e-4 * expected.rstd[0]}, "rstd");
}

}  // namespace
}  // namespace lapilli::test
