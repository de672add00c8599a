// Matmuls with workgroup-scope matrices: on devices with VK_NV_cooperative_matrix2, and emulated, so that the kernel's
// layouts, slices, edges and epilogues are tested on any driver with VK_KHR_cooperative_matrix.

#include <cmath>

#include "shaders/embedded_shaders.h"
#include "tests/model/matmul/matmul_support.h"

namespace lapilli::test {
namespace {

struct Param {
  MatmulKernel kernel;
  DType c;  // a and b are of the kernel's type
};

// Whole tiles of every size next to edges; depths of whole stages, with a remainder, and shorter than one stage.
std::vector<Case> tile_cases() {
  return {{Layout::nn, 128, 256, 128}, {Layout::nt, 256, 128, 64}, {Layout::tn, 256, 256, 80},
          {Layout::nn, 131, 261, 67},  {Layout::nt, 257, 264, 35}, {Layout::tn, 264, 133, 19}};
}

// Drivers take more than a second to compile an emulated kernel, once for each tile, layout, alignment and type of c: so together they have
// every layout, with aligned rows and without, and every shape has whole tiles beside edges, or only edges.
std::vector<Case> emulated_cases(const Param& param) {
  const MatmulKernel& kernel = param.kernel;
  if (kernel.tile_cols == 256) return {{Layout::nt, 136, 264, 56}};
  if (kernel.tile == 256) return {{Layout::nn, 261, 136, 72}};
  if (kernel.precision == Precision::bf16) return {{Layout::nn, 67, 69, 19}};
  if (param.c == DType::f32) return {{Layout::nt, 67, 69, 19}, {Layout::tn, 136, 72, 56}};
  return {{Layout::nn, 136, 72, 56}, {Layout::nt, 136, 72, 56}, {Layout::tn, 67, 69, 19}};
}

class Coopmat2Matmul : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    if (const auto reason = why_not(kernel())) GTEST_SKIP() << *reason;
  }
  const MatmulKernel& kernel() const { return GetParam().kernel; }
  DType operand_type() const { return storage_type(kernel().precision); }
  void for_all_cases(const std::function<void(const Case&)>& check) {
    const std::vector<std::vector<Case>> whole{tile_cases(), cases(), even_cases(), large_cases()}, few{emulated_cases(GetParam())};
    for (const auto& some : kernel().emulated ? few : whole)
      for (const Case& p : some) {
        SCOPED_TRACE(fmt::format("{} {}x{}x{}", static_cast<int>(p.layout), p.m, p.n, p.k));
        check(p);
        if (HasFailure()) return;
      }
  }
};

TEST_P(Coopmat2Matmul, ExactInputs_EveryElementRoundedOnce) {
  for_all_cases([&](const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type()), tb = bench.input(b_shape(p), b, operand_type()),
                 tc = bench.output({p.m, p.n}, GetParam().c);
    bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = kernel()}); });
    EXPECT_EQ(bench.read(tc), stored(narrow(expected(p, widen(a), widen(b)).value), GetParam().c));
  });
}

TEST_P(Coopmat2Matmul, EpilogueAndAccumulate_MatchReference) {
  for_all_cases([&](const Case& p) {
    const auto a = stored(random_values(uint64_t{p.m} * p.k, 3), operand_type()), b = stored(random_values(uint64_t{p.k} * p.n, 4), operand_type());
    const auto bias = random_values(p.n, 5), residual = stored(random_values(uint64_t{p.m} * p.n, 6), GetParam().c);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type()), tb = bench.input(b_shape(p), b, operand_type()), tbias = bench.input({p.n}, bias);
    const Tensor tresidual = bench.input({p.m, p.n}, residual, GetParam().c), tc = bench.output({p.m, p.n}, GetParam().c);
    const Tensor quarter = bench.input({1}, std::vector<float>{0.25F});
    bench.run([&](Ops& ops) {
      record(ops, p.layout, tc, ta, tb, Into::overwrite, {.bias = tbias, .addend = tresidual, .alpha = 2.0F, .scale = quarter, .force = kernel()});
      record(ops, p.layout, tc, ta, tb, Into::accumulate, {.force = kernel()});
    });
    const auto product = expected(p, widen(a), widen(b));
    Doubles value(product.value.size()), bound(value.size());
    for (size_t i = 0; i < value.size(); ++i) {
      const double extra = std::abs(static_cast<double>(bias[i % p.n])) + std::abs(static_cast<double>(residual[i]));
      value[i] = 1.5 * product.value[i] + static_cast<double>(bias[i % p.n]) + static_cast<double>(residual[i]);
      // Two dot products of k terms, then four more roundings of values no larger than the sum of magnitudes.
      bound[i] = kEpsilon * ((p.k + 1.0) * 1.5 * product.magnitude[i] + 4 * (1.5 * product.magnitude[i] + extra));
      // c is rounded when it is overwritten, and when it is added to.
      const double first = std::abs(value[i] - product.value[i]) + bound[i];
      bound[i] += storage_rounding(GetParam().c) * (first + std::abs(value[i]) + bound[i] + storage_rounding(GetParam().c) * first) +
                  2 * storage_floor(GetParam().c);
    }
    expect_close(bench.read(tc), value, bound, "c");
  });
}

TEST_P(Coopmat2Matmul, NumValid_LimitsTokensAndLeavesTheRest) {
  for_all_cases([&](const Case& p) {
    const bool depth = p.layout == Layout::tn;
    const uint32_t all = depth ? p.k : p.m, num_valid = all / 2;
    const uint64_t dead = uint64_t{num_valid} * (depth ? p.m : p.k);
    auto a = small_integers(uint64_t{p.m} * p.k, 7);
    std::fill(a.begin() + static_cast<std::ptrdiff_t>(dead), a.end(), std::nanf(""));
    const auto b = small_integers(uint64_t{p.k} * p.n, 8);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type()), tb = bench.input(b_shape(p), b, operand_type());
    const Tensor tnum_valid = bench.input({1}, std::vector<uint32_t>{num_valid});
    const Tensor tc = bench.input({p.m, p.n}, std::vector<float>(uint64_t{p.m} * p.n, 77.0F), GetParam().c);
    bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.num_valid = tnum_valid, .alpha = 2.0F, .force = kernel()}); });
    std::fill(a.begin() + static_cast<std::ptrdiff_t>(dead), a.end(), 0.0F);
    auto value = narrow(expected(p, widen(a), widen(b)).value);
    for (float& each : value) each *= 2.0F;
    value = stored(value, GetParam().c);
    if (!depth) std::fill(value.begin() + static_cast<std::ptrdiff_t>(uint64_t{num_valid} * p.n), value.end(), 77.0F);
    EXPECT_EQ(bench.read(tc), value);
  });
}

// `values` [rows, cols] in rows of `wide`, of which the rest is `filling`.
std::vector<float> with_gaps(const std::vector<float>& values, uint32_t cols, uint32_t wide, float filling) {
  std::vector<float> gapped(values.size() / cols * wide, filling);
  for (uint64_t i = 0; i < values.size(); ++i) gapped[i / cols * wide + i % cols] = values[i];
  return gapped;
}

// Gaps contain NaN, which must not be read, and must stay unchanged. c is accumulated into, so that it is read as well.
TEST_P(Coopmat2Matmul, RowsWithGaps_GapsNeitherReadNorWritten) {
  for_all_cases([&](const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 9), b = small_integers(uint64_t{p.k} * p.n, 10);
    const uint32_t a_cols = a_shape(p)[1], b_cols = b_shape(p)[1];
    const auto wide = [](uint32_t cols) { return static_cast<uint32_t>(round_up(cols + 1, 16)); };
    const auto c = with_gaps(std::vector<float>(uint64_t{p.m} * p.n, 3.0F), p.n, wide(p.n), std::nanf(""));
    Bench bench;
    const Tensor ta = bench.input({a_shape(p)[0], wide(a_cols)}, with_gaps(a, a_cols, wide(a_cols), std::nanf("")), operand_type());
    const Tensor tb = bench.input({b_shape(p)[0], wide(b_cols)}, with_gaps(b, b_cols, wide(b_cols), std::nanf("")), operand_type());
    const Tensor tc = bench.input({p.m, wide(p.n)}, c, GetParam().c);
    bench.run([&](Ops& ops) {
      record(ops, p.layout, tc.columns(p.n), ta.columns(a_cols), tb.columns(b_cols), Into::accumulate, {.force = kernel()});
    });
    auto product = narrow(expected(p, widen(a), widen(b)).value);
    for (float& value : product) value += 3.0F;
    const auto actual = bench.read(tc);
    const auto whole = with_gaps(stored(product, GetParam().c), p.n, wide(p.n), std::nanf(""));
    for (size_t i = 0; i < whole.size(); ++i) {
      if (std::isnan(whole[i])) ASSERT_TRUE(std::isnan(actual[i])) << "gap at " << i;
      else ASSERT_EQ(actual[i], whole[i]) << i;
    }
  });
}

// c, bias and addend may begin anywhere; a and b at 16 bytes.
TEST_P(Coopmat2Matmul, ResultBeginsAnywhere_NeighboursUntouched) {
  for_all_cases([&](const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 11), b = small_integers(uint64_t{p.k} * p.n, 12);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type()), tb = bench.input(b_shape(p), b, operand_type());
    const Tensor tc = bench.input({p.m + 2, p.n}, std::vector<float>(uint64_t{p.m + 2} * p.n, 5.0F), GetParam().c);
    const Tensor tbias = bench.input({p.n + 1}, std::vector<float>(p.n + 1, 2.0F));
    bench.run([&](Ops& ops) {
      record(ops, p.layout, tc.row_range(1, p.m), ta, tb, Into::accumulate, {.bias = tbias.range(1, p.n), .force = kernel()});
    });
    auto value = narrow(expected(p, widen(a), widen(b)).value);
    for (float& each : value) each += 7.0F;
    value = stored(value, GetParam().c);
    const std::vector<float> row(p.n, 5.0F);
    value.insert(value.begin(), row.begin(), row.end());
    value.insert(value.end(), row.begin(), row.end());
    EXPECT_EQ(bench.read(tc), value);
  });
}

// A c of 16 bits is rounded to nearest even; overflow gives infinity, NaN stays NaN.
TEST_P(Coopmat2Matmul, ResultsBetweenTwoValues_RoundToNearestEven) {
  if (GetParam().c == DType::f32) GTEST_SKIP() << "c is f32";
  if (kernel().emulated && kernel().tile != 64) GTEST_SKIP() << "rounds as the smallest tile does";
  const bool f16 = GetParam().c == DType::f16;
  const float step = f16 ? 0x1p-10F : 0x1p-7F, inf = std::numeric_limits<float>::infinity();  // step: between 1 and 2
  const std::vector<float> bias{1 + step / 2,  1 + 3 * step / 2,       1 + step / 2 + step / 64, 1 + step / 2 - step / 64,
                                -1 - step / 2, f16 ? 65519.0F : 3e38F, f16 ? 65520.0F : 3.4e38F, std::nanf("")};
  const std::vector<float> nearest{1, 1 + 2 * step, 1 + step, 1, -1, f16 ? 65504.0F : 0x1.C4p127F, inf, std::nanf("")};
  for (const bool aligned : {true, false}) {  // whole tiles are stored at once, or elements
    Bench bench;
    const Tensor ta = bench.input({1, 8}, std::vector<float>(8), operand_type()), tb = bench.input({8, 8}, std::vector<float>(64, 1), operand_type());
    const Tensor tc = bench.output({9}, GetParam().c), tbias = bench.input({8}, bias);
    const Tensor result = tc.range(aligned ? 0 : 1, 8).reshaped({1, 8});
    bench.run([&](Ops& ops) { matmul_nn(ops, result, ta, tb, Into::overwrite, {.bias = tbias, .force = kernel()}); });
    const std::vector<float> c = bench.read(result);
    for (size_t i = 0; i < 7; ++i) EXPECT_EQ(c[i], nearest[i]) << i;
    EXPECT_TRUE(std::isnan(c[7])) << c[7];
  }
}

// Both types of c in one tile, and each again with other tiles or operand types.
bool in_emulation(const MatmulKernel& kernel, DType c) {
  if (kernel.precision == Precision::f16 && kernel.tile == 64) return true;
  return (c == DType::f32) == (kernel.tile == 256);
}
std::vector<Param> params() {
  std::vector<Param> all;
  for (const MatmulKernel& kernel : coopmat2_kernels())
    for (const DType c : {DType::f32, storage_type(kernel.precision)})
      if (!kernel.emulated || in_emulation(kernel, c)) all.push_back({kernel, c});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Kernels, Coopmat2Matmul, testing::ValuesIn(params()), [](const auto& test) {
  const MatmulKernel& kernel = test.param.kernel;
  return fmt::format("{}_{}x{}_{}{}", to_string(kernel.precision), kernel.tile, kernel.tile_cols,
                     test.param.c == DType::f32 ? "into_f32" : "into_16_bits", kernel.emulated ? "_emulated" : "");
});

// ---- selection of the kernel ----

DeviceCaps capable() {
  DeviceCaps caps = device().caps();
  caps.name = "a device";
  caps.storage16 = true;
  caps.matrix_f16 = caps.matrix_bf16 = {16, 16, 16};
  caps.workgroup_matrix_f16 = {32, 32, 16};
  caps.max_matrix_dimension = 512;
  return caps;
}

class Coopmat2Choice : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_shader("matmul_coopmat2_f16")) GTEST_SKIP() << "built without GL_NV_cooperative_matrix2";
  }
};

TEST_F(Coopmat2Choice, CapableDevice_OnlyIfForced) {
  EXPECT_EQ(why_no_coopmat2(capable(), Precision::f16), std::nullopt);
  EXPECT_EQ(matmul_kernel(capable(), Precision::f16).kernel_class, KernelClass::coopmat);
  EXPECT_EQ(matmul_kernel(capable(), Precision::f32).kernel_class, capable().kernel_class);
}

TEST_F(Coopmat2Choice, OtherDevices_ErrorHasTheReason) {
  EXPECT_NE(why_no_coopmat2(capable(), Precision::bf16), std::nullopt) << "matrices of workgroups are of f16 only";
  EXPECT_NE(why_no_coopmat2(capable(), Precision::f32), std::nullopt);
  for (const auto& spoil : std::vector<std::function<void(DeviceCaps&)>>{
           [](DeviceCaps& caps) { caps.workgroup_matrix_f16 = {}; }, [](DeviceCaps& caps) { caps.workgroup_matrix_f16.rows = 128; },
           [](DeviceCaps& caps) { caps.workgroup_matrix_f16.cols = 48; }, [](DeviceCaps& caps) { caps.workgroup_matrix_f16.depth = 128; },
           [](DeviceCaps& caps) { caps.max_matrix_dimension = 128; }, [](DeviceCaps& caps) { caps.storage16 = false; }}) {
    DeviceCaps caps = capable();
    spoil(caps);
    EXPECT_NE(why_no_coopmat2(caps, Precision::f16), std::nullopt);
  }
}

TEST_F(Coopmat2Choice, Tile_LargestThatLeavesWorkForEverySm) {
  const MatmulKernel kernel{.kernel_class = KernelClass::coopmat2, .precision = Precision::f16};
  const auto tile = [&](uint32_t rows, uint32_t cols) {
    const MatmulTile chosen = choose_matmul_tile(capable(), rows, cols, false, kernel);
    return std::pair(chosen.rows, chosen.cols);
  };
  EXPECT_EQ(tile(8192, 2304), std::pair(128U, 256U));
  EXPECT_EQ(tile(65536, 128), std::pair(256U, 128U)) << "no column of tiles to half";
  EXPECT_EQ(tile(8192, 768), std::pair(128U, 128U));
  EXPECT_EQ(tile(768, 768), std::pair(64U, 64U));
  EXPECT_EQ(tile(1, 50304), std::pair(128U, 128U));
}

}  // namespace
}  // namespace lapilli::test
