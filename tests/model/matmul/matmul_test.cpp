#include <cmath>

#include "tests/model/matmul/matmul_support.h"

namespace lapilli::test {
namespace {

// The 16-bit memory type: that of the kernel's operands.
struct Storage {
  bool a = false, b = false, c = false;
  DType of_a(const MatmulKernel& kernel) const { return a ? storage_type(kernel.precision) : DType::f32; }
  DType of_b(const MatmulKernel& kernel) const { return b ? storage_type(kernel.precision) : DType::f32; }
  DType of_c(const MatmulKernel& kernel) const { return c ? storage_type(kernel.precision) : DType::f32; }
};

void expect_exact(const MatmulKernel& force, const Case& p, Storage in = {}) {
  const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a, in.of_a(force)), tb = bench.input(b_shape(p), b, in.of_b(force));
  const Tensor tc = bench.output({p.m, p.n}, in.of_c(force));
  bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = force}); });
  EXPECT_EQ(bench.read(tc), stored(narrow(expected(p, widen(a), widen(b)).value), tc.dtype()));
}

void expect_epilogue_and_accumulate(const MatmulKernel& force, const Case& p, Storage in = {}) {
  const auto a = random_values(uint64_t{p.m} * p.k, 3), b = random_values(uint64_t{p.k} * p.n, 4);
  const auto bias = random_values(p.n, 5), residual = stored(random_values(uint64_t{p.m} * p.n, 6), in.of_c(force));
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a, in.of_a(force)), tb = bench.input(b_shape(p), b, in.of_b(force)), tbias = bench.input({p.n}, bias);
  const Tensor tresidual = bench.input({p.m, p.n}, residual, in.of_c(force)), tc = bench.output({p.m, p.n}, in.of_c(force));
  const Tensor quarter = bench.input({1}, std::vector<float>{0.25F});
  bench.run([&](Ops& ops) {
    record(ops, p.layout, tc, ta, tb, Into::overwrite, {.bias = tbias, .addend = tresidual, .alpha = 2.0F, .scale = quarter, .force = force});
    record(ops, p.layout, tc, ta, tb, Into::accumulate, {.force = force});
  });
  const auto [value, bound] = bias_addend_and_accumulate(p, a, b, bias, residual, force.precision, tc.dtype());
  expect_close(bench.read(tc), value, bound, "c");
}

void expect_num_valid(const MatmulKernel& force, const Case& p, Storage in = {}) {
  const bool depth = p.layout == Layout::tn;
  const uint32_t all = depth ? p.k : p.m, num_valid = all / 2;
  const auto a = small_integers(uint64_t{p.m} * p.k, 7), b = small_integers(uint64_t{p.k} * p.n, 8);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a, in.of_a(force)), tb = bench.input(b_shape(p), b, in.of_b(force));
  const Tensor tnum_valid = bench.input({1}, std::vector<uint32_t>{num_valid});
  const Tensor tc = bench.input({p.m, p.n}, std::vector<float>(uint64_t{p.m} * p.n, 77.0F), in.of_c(force));
  bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.num_valid = tnum_valid, .force = force}); });
  auto da = widen(a);
  if (depth) std::fill(da.begin() + static_cast<std::ptrdiff_t>(uint64_t{num_valid} * p.m), da.end(), 0.0);
  auto value = stored(narrow(expected(p, da, widen(b)).value), tc.dtype());
  if (!depth) std::fill(value.begin() + static_cast<std::ptrdiff_t>(uint64_t{num_valid} * p.n), value.end(), 77.0F);
  EXPECT_EQ(bench.read(tc), value);
}

// Rows with gaps, as in the loss's slabs: a and c of the matmuls that read and write logits. Gaps contain NaN, which
// must not be read, and must stay unchanged.
void expect_gaps_untouched(const MatmulKernel& force, const Case& p, Storage in = {}) {
  const auto a = small_integers(uint64_t{p.m} * p.k, 9), b = small_integers(uint64_t{p.k} * p.n, 10);
  const Shape packed = a_shape(p);
  const auto a_cols = packed[1], a_wide = static_cast<uint32_t>(round_up(a_cols + 1, 16)), c_wide = static_cast<uint32_t>(round_up(p.n + 1, 16));
  std::vector<float> a_gapped(uint64_t{packed[0]} * a_wide, std::nanf(""));
  for (uint64_t i = 0; i < a.size(); ++i) a_gapped[i / a_cols * a_wide + i % a_cols] = a[i];
  Bench bench;
  const Tensor ta = bench.input({packed[0], a_wide}, a_gapped, in.of_a(force)), tb = bench.input(b_shape(p), b, in.of_b(force));
  const Tensor tc = bench.input({p.m, c_wide}, std::vector<float>(uint64_t{p.m} * c_wide, 77.0F), in.of_c(force));
  bench.run([&](Ops& ops) { record(ops, p.layout, tc.columns(p.n), ta.columns(a_cols), tb, Into::overwrite, {.force = force}); });
  const auto product = stored(narrow(expected(p, widen(a), widen(b)).value), tc.dtype());
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
TEST_P(Matmul, NumValid_LimitsTokensAndLeavesTheRest) { expect_num_valid(force, p); }
TEST_P(Matmul, RowsWithGaps_GapsNeitherReadNorWritten) { expect_gaps_untouched(force, p); }

// So deep that CPU drivers add up pieces of the depth; the last piece is one step, or most of one.
std::vector<Case> deep_cases() { return {{Layout::nn, 33, 34, 4130}, {Layout::nt, 9, 33, 2049}, {Layout::tn, 34, 18, 4095}}; }

std::string case_name(const testing::TestParamInfo<Param>& info) {
  const char* layouts[] = {"NN", "NT", "TN"};
  const auto& [kernel, p] = info.param;
  return fmt::format("{}{}_{}_{}x{}x{}", to_string(kernel.kernel_class),
                     kernel.tile != 0 ? std::to_string(kernel.tile)
                     : kernel.load64  ? ""
                                      : "_load32",
                     layouts[static_cast<int>(p.layout)], p.m, p.n, p.k);
}

constexpr MatmulKernel kCpu{KernelClass::cpu}, kCpuLoad32{KernelClass::cpu, 0, false}, kTiled32{KernelClass::tiled, 32},
    kTiled64{KernelClass::tiled, 64}, kTiled128{KernelClass::tiled, 128};
INSTANTIATE_TEST_SUITE_P(Shapes, Matmul, testing::Combine(testing::Values(kCpu, kTiled32, kTiled64, kTiled128), testing::ValuesIn(cases())),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Even, Matmul, testing::Combine(testing::Values(kCpu, kCpuLoad32), testing::ValuesIn(even_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Deep, Matmul, testing::Combine(testing::Values(kCpu, kCpuLoad32, kTiled32), testing::ValuesIn(deep_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Large, Matmul, testing::Combine(testing::Values(kCpu, kTiled32, kTiled64, kTiled128), testing::ValuesIn(large_cases())),
                         case_name);

// Every layout with all rows aligned, beyond the largest tile; in the smallest tile also with none aligned.
std::vector<Case> few_cases(uint32_t tile) {
  std::vector<Case> few;
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
    few.push_back({layout, 136, 136, 40});
    if (tile == 32) few.insert(few.end(), {{layout, 33, 31, 25}, {layout, 131, 133, 47}});
  }
  return few;
}

// Cooperative matrices, where the device has them: all shapes in one test, so that a device without them skips a few tests and not
// hundreds. Exact inputs are integers of few bits, exact in 16 bits too. A software driver takes seconds to compile a form, and a
// mixture of types and alignments is one: most mixtures get few shapes.
class CoopmatMatmul : public testing::TestWithParam<std::tuple<MatmulKernel, Storage>> {
 protected:
  void SetUp() override {
    if (const auto reason = why_not(kernel)) GTEST_SKIP() << *reason;
  }
  void for_all_cases(void (*check)(const MatmulKernel&, const Case&, Storage)) {
    const bool all_f32 = !in.a && !in.b && !in.c, all_16 = in.a && in.b && in.c && kernel.tile == 32;
    const std::vector<std::vector<Case>> many{cases(), even_cases(), large_cases()}, few{few_cases(kernel.tile)};
    for (const auto& some : (all_f32 || all_16) && !kernel.transposes ? many : few)
      for (const Case& p : some) {
        if (kernel.transposes && p.layout == Layout::nt) continue;  // nothing to transpose
        SCOPED_TRACE(fmt::format("{} {}x{}x{}", static_cast<int>(p.layout), p.m, p.n, p.k));
        check(kernel, p, in);
        if (HasFailure()) return;
      }
  }
  const MatmulKernel kernel = std::get<MatmulKernel>(GetParam());
  const Storage in = std::get<Storage>(GetParam());
};
TEST_P(CoopmatMatmul, ExactInputs_EveryElementExact) { for_all_cases(expect_exact); }
TEST_P(CoopmatMatmul, EpilogueAndAccumulate_MatchReference) { for_all_cases(expect_epilogue_and_accumulate); }
TEST_P(CoopmatMatmul, NumValid_LimitsTokensAndLeavesTheRest) { for_all_cases(expect_num_valid); }
TEST_P(CoopmatMatmul, RowsWithGaps_GapsNeitherReadNorWritten) { for_all_cases(expect_gaps_untouched); }

// An operand is the same, whether rounded when stored or when loaded; and c is the rounded f32 result.
void expect_bits_of_f32_memory(const MatmulKernel& force, const Case& p, Storage in) {
  const auto a = random_values(uint64_t{p.m} * p.k, 11), b = random_values(uint64_t{p.k} * p.n, 12), bias = random_values(p.n, 13);
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b), tbias = bench.input({p.n}, bias), tc = bench.output({p.m, p.n});
  const Tensor sa = bench.input(a_shape(p), a, in.of_a(force)), sb = bench.input(b_shape(p), b, in.of_b(force));
  const Tensor sc = bench.output({p.m, p.n}, in.of_c(force));
  bench.run([&](Ops& ops) {
    record(ops, p.layout, tc, ta, tb, Into::overwrite, {.bias = tbias, .force = force});
    record(ops, p.layout, sc, sa, sb, Into::overwrite, {.bias = tbias, .force = force});
  });
  expect_same_bits(bench.read(sc), stored(bench.read(tc), sc.dtype()), "c");
}
TEST_P(CoopmatMatmul, SixteenBitMemory_GivesTheBitsOfF32MemoryRounded) { for_all_cases(expect_bits_of_f32_memory); }

// Rounding to nearest even; overflow gives infinity, NaN stays NaN.
struct Roundings {
  std::vector<float> values, rounded;
};
Roundings roundings(Precision precision) {
  const bool f16 = precision == Precision::f16;
  const float unit = f16 ? 0x1p-10F : 0x1p-7F, inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");  // unit: between 1 and 2
  return {{1 + unit / 2, 1 + 3 * unit / 2, 1 + unit / 2 + unit / 64, 1 + unit / 2 - unit / 64, -1 - unit / 2, f16 ? 65519.0F : 3e38F,
           f16 ? 65520.0F : 3.4e38F, nan},
          {1, 1 + 2 * unit, 1 + unit, 1, -1, f16 ? 65504.0F : 0x1.C4p127F, inf, nan}};
}
void expect_rounded(const std::vector<float>& actual, const std::vector<float>& rounded) {
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(rounded[i])) EXPECT_TRUE(std::isnan(actual[i])) << actual[i];
    else EXPECT_EQ(actual[i], rounded[i]) << i;
  }
}
TEST_P(CoopmatMatmul, OperandsBetweenTwoValues_RoundToNearestEven) {
  const Roundings r = roundings(kernel.precision);
  Bench bench;
  const Tensor ta = bench.input({8, 1}, r.values, in.of_a(kernel)), tb = bench.input({1, 1}, std::vector<float>{1}, in.of_b(kernel));
  const Tensor tc = bench.output({8, 1}, in.of_c(kernel));
  bench.run([&](Ops& ops) { matmul_nn(ops, tc, ta, tb, Into::overwrite, {.force = kernel}); });
  expect_rounded(bench.read(tc), r.rounded);
}
// Sums of a zero and the bias, one column at a time and four at once.
TEST_P(CoopmatMatmul, ResultsBetweenTwoValues_RoundToNearestEvenWhereStoredIn16Bits) {
  const Roundings r = roundings(kernel.precision);
  for (const uint32_t cols : {7U, 8U}) {
    const std::vector<float> values(r.values.end() - cols, r.values.end()), rounded(r.rounded.end() - cols, r.rounded.end());
    Bench bench;
    const Tensor ta = bench.input({2, 1}, std::vector<float>{0, 0}, in.of_a(kernel)),
                 tb = bench.input({1, cols}, std::vector<float>(cols), in.of_b(kernel));
    const Tensor tbias = bench.input({cols}, values), tc = bench.output({2, cols}, in.of_c(kernel));
    bench.run([&](Ops& ops) { matmul_nn(ops, tc, ta, tb, Into::overwrite, {.bias = tbias, .force = kernel}); });
    const auto c = bench.read(tc);
    for (const uint32_t row : {0U, 1U}) expect_rounded({c.begin() + row * cols, c.begin() + (row + 1) * cols}, in.c ? rounded : values);
  }
}

// All combinations of types in the smallest tile; for the others, whose memory access is the same, only equal types.
std::vector<std::tuple<MatmulKernel, Storage>> coopmat_params() {
  std::vector<std::tuple<MatmulKernel, Storage>> all;
  for (const MatmulKernel& kernel : coopmat_kernels())
    for (const bool a : {false, true})
      for (const bool b : {false, true})
        for (const bool c : {false, true})
          if (kernel.tile == 32 || (a == b && b == c)) all.emplace_back(kernel, Storage{a, b, c});
  // Operands transposed on the way to shared memory: each type, and each number of iterations per thread.
  for (MatmulKernel kernel : coopmat_kernels()) {
    if (kernel.precision != Precision::f16) continue;
    kernel.transposes = true;
    for (const bool half : {false, true})
      if (half || kernel.tile < 128) all.emplace_back(kernel, Storage{half, half, half});  // that takes twice as long to compile
  }
  return all;
}
std::string coopmat_name(const testing::TestParamInfo<std::tuple<MatmulKernel, Storage>>& info) {
  const auto& [kernel, in] = info.param;
  const std::string name = fmt::format("{}_{}{}_", to_string(kernel.precision), kernel.tile, kernel.transposes ? "_transposing" : "");
  if (!in.a && !in.b && !in.c) return name + "f32";
  return fmt::format("{}{}{}{}_in_16_bits", name, in.a ? "a" : "", in.b ? "b" : "", in.c ? "c" : "");
}
INSTANTIATE_TEST_SUITE_P(Kernels, CoopmatMatmul, testing::ValuesIn(coopmat_params()), coopmat_name);

}  // namespace
}  // namespace lapilli::test
