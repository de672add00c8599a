#include <cmath>

#include "tests/kernels/matmul_support.h"

namespace lapilli::test {
namespace {

void expect_exact(const MatmulKernel& force, const Case& p) {
  const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b), tc = bench.output({p.m, p.n});
  bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = force}); });
  EXPECT_EQ(bench.read(tc), narrow(expected(p, widen(a), widen(b)).value));
}

void expect_epilogue_and_accumulate(const MatmulKernel& force, const Case& p) {
  const auto a = random_values(uint64_t{p.m} * p.k, 3), b = random_values(uint64_t{p.k} * p.n, 4);
  const auto bias = random_values(p.n, 5), residual = random_values(uint64_t{p.m} * p.n, 6);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b), tbias = bench.input({p.n}, bias);
  const Tensor tresidual = bench.input({p.m, p.n}, residual), tc = bench.output({p.m, p.n});
  bench.run([&](Ops& ops) {
    record(ops, p.layout, tc, ta, tb, Into::overwrite, {.bias = tbias, .addend = tresidual, .alpha = 0.5F, .force = force});
    record(ops, p.layout, tc, ta, tb, Into::accumulate, {.force = force});
  });
  const auto product = expected(p, widen(a), widen(b));
  const double factor = factor_rounding(force.precision);
  Doubles value(product.value.size()), bound(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const double extra = std::abs(static_cast<double>(bias[i % p.n])) + std::abs(static_cast<double>(residual[i]));
    value[i] = 1.5 * product.value[i] + static_cast<double>(bias[i % p.n]) + static_cast<double>(residual[i]);
    // Two dot products of k terms, then four more roundings of values no larger than the sum of magnitudes; and the factors'.
    bound[i] = kEpsilon * ((p.k + 1.0) * 1.5 * product.magnitude[i] + 4 * (1.5 * product.magnitude[i] + extra)) +
               (2 * factor + factor * factor) * 1.5 * product.magnitude[i] * (1 + (p.k + 1.0) * kEpsilon);
  }
  expect_close(bench.read(tc), value, bound, "c");
}

void expect_live_count(const MatmulKernel& force, const Case& p) {
  const bool depth = p.layout == Layout::tn;
  const uint32_t all = depth ? p.k : p.m, live = all / 2;
  const auto a = small_integers(uint64_t{p.m} * p.k, 7), b = small_integers(uint64_t{p.k} * p.n, 8);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b);
  const Tensor tlive = bench.input({1}, std::vector<uint32_t>{live});
  const Tensor tc = bench.input({p.m, p.n}, std::vector<float>(uint64_t{p.m} * p.n, 77.0F));
  bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.live = tlive, .force = force}); });
  auto da = widen(a);
  if (depth) std::fill(da.begin() + static_cast<std::ptrdiff_t>(uint64_t{live} * p.m), da.end(), 0.0);
  auto value = narrow(expected(p, da, widen(b)).value);
  if (!depth) std::fill(value.begin() + static_cast<std::ptrdiff_t>(uint64_t{live} * p.n), value.end(), 77.0F);
  EXPECT_EQ(bench.read(tc), value);
}

// Rows with gaps, as the loss's slabs have them: a and c of the products that read and write logits. Gaps hold NaN, which
// nothing may read, and stay as they are.
void expect_gaps_untouched(const MatmulKernel& force, const Case& p) {
  const auto a = small_integers(uint64_t{p.m} * p.k, 9), b = small_integers(uint64_t{p.k} * p.n, 10);
  const Shape packed = a_shape(p);
  const auto a_cols = packed[1], a_wide = static_cast<uint32_t>(round_up(a_cols + 1, 16)), c_wide = static_cast<uint32_t>(round_up(p.n + 1, 16));
  std::vector<float> a_gapped(uint64_t{packed[0]} * a_wide, std::nanf(""));
  for (uint64_t i = 0; i < a.size(); ++i) a_gapped[i / a_cols * a_wide + i % a_cols] = a[i];
  Bench bench;
  const Tensor ta = bench.input({packed[0], a_wide}, a_gapped), tb = bench.input(b_shape(p), b);
  const Tensor tc = bench.input({p.m, c_wide}, std::vector<float>(uint64_t{p.m} * c_wide, 77.0F));
  bench.run([&](Ops& ops) { record(ops, p.layout, tc.columns(p.n), ta.columns(a_cols), tb, Into::overwrite, {.force = force}); });
  const auto product = narrow(expected(p, widen(a), widen(b)).value);
  std::vector<float> value(uint64_t{p.m} * c_wide, 77.0F);
  for (uint64_t i = 0; i < product.size(); ++i) value[i / p.n * c_wide + i % p.n] = product[i];
  EXPECT_EQ(bench.read(tc), value);
}

using Param = std::tuple<MatmulKernel, Case>;
class Matmul : public testing::TestWithParam<Param> {
 protected:
  const Case p = std::get<Case>(GetParam());
  const MatmulKernel force = std::get<MatmulKernel>(GetParam());
};
TEST_P(Matmul, ExactInputs_EveryElementExact) { expect_exact(force, p); }
TEST_P(Matmul, EpilogueAndAccumulate_MatchReference) { expect_epilogue_and_accumulate(force, p); }
TEST_P(Matmul, LiveCount_LimitsTokensAndLeavesTheRest) { expect_live_count(force, p); }
TEST_P(Matmul, RowsWithGaps_GapsNeitherReadNorWritten) { expect_gaps_untouched(force, p); }

// So deep that CPU drivers add up pieces of the depth; the last piece is one step, or most of one.
std::vector<Case> deep_cases() {
  return {{Layout::nn, 33, 34, 4130}, {Layout::nt, 9, 33, 2049}, {Layout::tn, 34, 18, 4095}};
}

std::string case_name(const testing::TestParamInfo<Param>& info) {
  const char* layouts[] = {"NN", "NT", "TN"};
  const auto& [kernel, p] = info.param;
  return fmt::format("{}{}_{}_{}x{}x{}", to_string(kernel.kernel_class),
                     kernel.tile != 0 ? std::to_string(kernel.tile) : kernel.pairs ? "" : "_words",
                     layouts[static_cast<int>(p.layout)], p.m, p.n, p.k);
}

constexpr MatmulKernel kScalar{KernelClass::scalar}, kWords{KernelClass::scalar, 0, false}, kTiled32{KernelClass::tiled, 32}, kTiled64{KernelClass::tiled, 64},
    kTiled128{KernelClass::tiled, 128};
INSTANTIATE_TEST_SUITE_P(Shapes, Matmul, testing::Combine(testing::Values(kScalar, kTiled32, kTiled64, kTiled128), testing::ValuesIn(cases())),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Even, Matmul, testing::Combine(testing::Values(kScalar, kWords), testing::ValuesIn(even_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Deep, Matmul, testing::Combine(testing::Values(kScalar, kWords, kTiled32), testing::ValuesIn(deep_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Large, Matmul, testing::Combine(testing::Values(kScalar, kTiled32, kTiled64, kTiled128), testing::ValuesIn(large_cases())),
                         case_name);


// Cooperative matrices, where the device has them: all shapes in one test, so that a device without them skips a few tests and not
// hundreds. Exact inputs are integers of few bits, exact in 16 bits too.
class CoopmatMatmul : public testing::TestWithParam<MatmulKernel> {
 protected:
  void SetUp() override {
    if (const auto reason = why_not(GetParam())) GTEST_SKIP() << *reason;
  }
  void for_all_cases(void (*check)(const MatmulKernel&, const Case&)) {
    for (const auto& some : {cases(), even_cases(), large_cases()})
      for (const Case& p : some) {
        SCOPED_TRACE(fmt::format("{} {}x{}x{}", static_cast<int>(p.layout), p.m, p.n, p.k));
        check(GetParam(), p);
        if (HasFailure()) return;
      }
  }
};
TEST_P(CoopmatMatmul, ExactInputs_EveryElementExact) { for_all_cases(expect_exact); }
TEST_P(CoopmatMatmul, EpilogueAndAccumulate_MatchReference) { for_all_cases(expect_epilogue_and_accumulate); }
TEST_P(CoopmatMatmul, LiveCount_LimitsTokensAndLeavesTheRest) { for_all_cases(expect_live_count); }
TEST_P(CoopmatMatmul, RowsWithGaps_GapsNeitherReadNorWritten) { for_all_cases(expect_gaps_untouched); }

// Factors are rounded to nearest even; what overflows the type is infinite, what is no number stays none.
TEST_P(CoopmatMatmul, FactorsBetweenTwoValues_RoundToNearestEven) {
  const bool f16 = GetParam().precision == Precision::f16;
  const float unit = f16 ? 0x1p-10F : 0x1p-7F;  // between 1 and 2
  const std::vector<float> a{1 + unit / 2, 1 + 3 * unit / 2, 1 + unit / 2 + unit / 64, 1 + unit / 2 - unit / 64, -1 - unit / 2,
                             f16 ? 65519.0F : 3e38F, f16 ? 65520.0F : 3.4e38F, std::nanf("")};
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> rounded{1, 1 + 2 * unit, 1 + unit, 1, -1, f16 ? 65504.0F : 0x1.C4p127F, inf, std::nanf("")};
  Bench bench;
  const Tensor ta = bench.input({8, 1}, a), tb = bench.input({1, 1}, std::vector<float>{1}), tc = bench.output({8, 1});
  bench.run([&](Ops& ops) { matmul_nn(ops, tc, ta, tb, Into::overwrite, {.force = GetParam()}); });
  const std::vector<float> c = bench.read(tc);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(c[i], rounded[i]) << i;
  EXPECT_TRUE(std::isnan(c[7])) << c[7];
}

INSTANTIATE_TEST_SUITE_P(Kernels, CoopmatMatmul, testing::ValuesIn(coopmat_kernels()),
                         [](const auto& info) { return fmt::format("{}_{}", to_string(info.param.precision), info.param.tile); });

}  // namespace
}  // namespace lapilli::test
