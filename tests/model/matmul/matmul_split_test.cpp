// Split-K matmuls: the results of each kernel class, and the choice to split.
#include "model/matmul/matmul_record.h"
#include "model/ops/rope.h"
#include "tests/model/matmul/matmul_support.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::test {
namespace {

const Shape kWorkspace{1U << 17U};

// No depth below is a multiple of a part's alignment; the last part of some is a single step, or less deep than the
// others.
std::vector<std::pair<Case, uint32_t>> split_cases() {
  return {{{Layout::nn, 33, 36, 1025}, 2},
          {{Layout::nt, 65, 31, 1537}, 3},
          {{Layout::tn, 40, 130, 2111}, 4},
          {{Layout::tn, 1, 2, 8200}, 16},
          {{Layout::nt, 64, 64, 1536}, 3}};
}

using Param = std::tuple<MatmulKernel, bool>;  // kernel; c, and with it the addend, in 16 bits
class SplitMatmul : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    if (const auto reason = why_not(kernel)) GTEST_SKIP() << *reason;
  }
  // Calls check with a kernel that splits and a case it can split.
  void for_all_cases(const std::function<void(const MatmulKernel&, const Case&)>& check) const {
    for (const auto& [p, splits] : split_cases()) {
      if (size_bytes(c_type) == 2 && p.n % 2 != 0) continue;  // such a c is not split, see SplitMatmulChoice
      SCOPED_TRACE(fmt::format("{} {}x{}x{} in {}", static_cast<int>(p.layout), p.m, p.n, p.k, splits));
      MatmulKernel split = kernel;
      split.splits = splits;
      check(split, p);
      if (HasFailure()) return;
    }
  }
  const MatmulKernel kernel = std::get<0>(GetParam());
  const DType operand_type = storage_type(kernel.precision), c_type = std::get<1>(GetParam()) ? operand_type : DType::f32;
};

TEST_P(SplitMatmul, ExactInputs_EveryElementExact) {
  for_all_cases([&](const MatmulKernel& split, const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type), tb = bench.input(b_shape(p), b, operand_type), tc = bench.output({p.m, p.n}, c_type);
    const Tensor workspace = bench.output(kWorkspace);
    bench.run([&](Ops& ops) {
      ops.workspace = workspace;
      record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = split});
    });
    EXPECT_EQ(bench.read(tc), stored(narrow(expected(p, widen(a), widen(b)).value), c_type));
  });
}

// Operands are integers, so that only the sums' roundings remain; twice with the same workspace.
TEST_P(SplitMatmul, EpilogueAndAccumulate_ApplyToTheCompleteSum) {
  for_all_cases([&](const MatmulKernel& split, const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 3), b = small_integers(uint64_t{p.k} * p.n, 4);
    const auto bias = random_values(p.n, 5), residual = stored(random_values(uint64_t{p.m} * p.n, 6), c_type);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type), tb = bench.input(b_shape(p), b, operand_type), tbias = bench.input({p.n}, bias);
    const Tensor tresidual = bench.input({p.m, p.n}, residual, c_type), tc = bench.output({p.m, p.n}, c_type), workspace = bench.output(kWorkspace);
    const Tensor quarter = bench.input({1}, std::vector<float>{0.25F});
    bench.run([&](Ops& ops) {
      ops.workspace = workspace;
      record(ops, p.layout, tc, ta, tb, Into::overwrite, {.bias = tbias, .addend = tresidual, .alpha = 2.0F, .scale = quarter, .force = split});
      record(ops, p.layout, tc, ta, tb, Into::accumulate, {.force = split});
    });
    const auto product = expected(p, widen(a), widen(b));
    Doubles value(product.value.size()), bound(value.size());
    for (size_t i = 0; i < value.size(); ++i) {
      value[i] = 1.5 * product.value[i] + static_cast<double>(bias[i % p.n]) + static_cast<double>(residual[i]);
      const double largest = 1.5 * std::abs(product.value[i]) + 2;  // rounded 4 times in f32, twice when stored
      bound[i] = (4 * kEpsilon + 2 * storage_rounding(c_type)) * largest;
    }
    expect_close(bench.read(tc), value, bound, "c");
  });
}

TEST_P(SplitMatmul, Rotary_RotatesTheCompleteSum) {
  for_all_cases([&](const MatmulKernel& split, const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 9), b = small_integers(uint64_t{p.k} * p.n, 10);
    const uint32_t context = 5;
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a, operand_type), tb = bench.input(b_shape(p), b, operand_type), tc = bench.output({p.m, p.n}, c_type);
    const Tensor cos_sin_table = bench.input({context, 2}, make_cos_sin_table(context, 2, 100)), workspace = bench.output(kWorkspace);
    bench.run([&](Ops& ops) {
      ops.workspace = workspace;
      record(ops, p.layout, tc, ta, tb, Into::overwrite,
             {.nonlinearity = Nonlinearity::rotary,
              .rotary = {.cos_sin_table = cos_sin_table, .context = context, .rotary_heads = 1},
              .force = split});
    });
    const Doubles sum = widen(stored(narrow(expected(p, widen(a), widen(b)).value), c_type));
    Doubles bound(sum.size());
    const Doubles rotated = reference::Rope{p.m, context, 1, 2, p.n, 100}.rotate(sum, 1, &bound);
    for (size_t i = 0; i < bound.size(); ++i) bound[i] += storage_rounding(c_type) * (std::abs(rotated[i]) + bound[i]) + storage_floor(c_type);
    expect_close(bench.read(tc), rotated, bound, "c");
  });
}

TEST_P(SplitMatmul, RowsWithGaps_GapsStayAsTheyAre) {
  const Case p{Layout::nn, 33, 36, 1025};
  constexpr uint32_t kWide = 48;
  const auto a = small_integers(uint64_t{p.m} * p.k, 7), b = small_integers(uint64_t{p.k} * p.n, 8);
  MatmulKernel split = kernel;
  split.splits = 2;
  Bench bench;
  const Tensor ta = bench.input(a_shape(p), a, operand_type), tb = bench.input(b_shape(p), b, operand_type), workspace = bench.output(kWorkspace);
  const Tensor tc = bench.input({p.m, kWide}, std::vector<float>(uint64_t{p.m} * kWide, 77.0F), c_type);
  bench.run([&](Ops& ops) {
    ops.workspace = workspace;
    matmul_nn(ops, tc.columns(p.n), ta, tb, Into::overwrite, {.force = split});
  });
  const auto product = stored(narrow(expected(p, widen(a), widen(b)).value), c_type);
  std::vector<float> value(uint64_t{p.m} * kWide, 77.0F);
  for (uint64_t i = 0; i < product.size(); ++i) value[i / p.n * kWide + i % p.n] = product[i];
  EXPECT_EQ(bench.read(tc), value);
}

// No barriers between parts; one before their sum, and one before the next write to the workspace.
TEST(SplitMatmulOrder, PartsRunSideBySide) {
  Bench bench;
  const Tensor a = bench.input({1024, 32}, std::vector<float>(1024 * 32, 1.0F)), b = bench.input({1024, 32}, std::vector<float>(1024 * 32, 1.0F));
  const Tensor c = bench.output({32, 32}), d = bench.output({32, 32}), workspace = bench.output(kWorkspace);
  const MatmulKernel kernel{.kernel_class = KernelClass::tiled, .tile = 32, .splits = 2};
  bench.run([&](Ops& ops) {
    ops.workspace = workspace;
    matmul_tn(ops, c, a, b, Into::overwrite, {.force = kernel});
    EXPECT_EQ(ops.program.dispatch_count(), 3U);
    EXPECT_EQ(ops.program.barrier_count(), 1U);
    matmul_tn(ops, d, a, b, Into::overwrite, {.force = kernel});
    EXPECT_EQ(ops.program.barrier_count(), 3U);
  });
  EXPECT_EQ(bench.read(c), std::vector<float>(32 * 32, 1024.0F));
  EXPECT_EQ(bench.read(d), std::vector<float>(32 * 32, 1024.0F));
}

// A matmul of 768 x 768 has 36 tiles of 128: few for a GPU, so it is split if there is a workspace. It is not split if
// depth or rows are known only on the device, or if it is too shallow.
TEST(SplitMatmulChoice, SplitOnlyWithWorkspaceKnownSizeAndDepth) {
  DeviceCaps gpu;
  gpu.subgroup_size = 32;
  gpu.max_workgroup_invocations = 1024;
  gpu.max_allocation_bytes = uint64_t{1} << 32U;
  gpu.kernel_class = KernelClass::tiled;
  Arena arena(gpu);
  const Tensor workspace = reserve_matmul_workspace(arena, gpu);
  ASSERT_TRUE(workspace);
  const auto c_of = [&](Shape shape, DType dtype) { return reserve_tensor(arena, shape, "test", dtype); };
  const Tensor square = c_of({768, 768}, DType::f32);
  const auto resolved = [&](uint32_t depth, const Tensor& c, bool num_valid = false, bool room = true) {
    MatmulProblem product{
        .args = {.rows = 768, .cols = 768, .depth = depth, .c_stride = c.cols()}, .a = {}, .b = {}, .c = c, .addend = {}, .cost = {}};
    if (num_valid) product.args.num_valid.slice = workspace.slice();
    return resolve_matmul_kernel(gpu, {.kernel_class = KernelClass::tiled}, product, room ? workspace : Tensor());
  };
  const MatmulKernel deep = resolved(16384, square);
  EXPECT_EQ(deep.tile, 128U);
  EXPECT_EQ(deep.splits, 4U);  // 144 workgroups
  EXPECT_EQ(resolved(1024, square).splits, 1U);
  EXPECT_EQ(resolved(1024, square).tile, 64U);
  EXPECT_EQ(resolved(16384, square, true).splits, 1U);
  EXPECT_EQ(resolved(16384, square, false, false).splits, 1U);
  EXPECT_EQ(resolved(16384, c_of({768, 767}, DType::f16)).splits, 1U);
  DeviceCaps cpu = gpu;
  cpu.kernel_class = KernelClass::cpu;
  EXPECT_FALSE(reserve_matmul_workspace(arena, cpu));
}

std::string split_name(const testing::TestParamInfo<Param>& info) {
  const auto& [kernel, in_16_bits] = info.param;
  return fmt::format("{}{}{}{}", to_string(kernel.kernel_class), kernel.tile,
                     kernel.precision == Precision::f32 ? "" : std::string("_") + to_string(kernel.precision), in_16_bits ? "_c_in_16_bits" : "");
}
const MatmulKernel kTiled32{KernelClass::tiled, 32}, kTiled128{KernelClass::tiled, 128}, kF16{KernelClass::coopmat, 32, true, Precision::f16},
    kBF16{KernelClass::coopmat, 32, true, Precision::bf16};
INSTANTIATE_TEST_SUITE_P(Kernels, SplitMatmul,
                         testing::Values(Param(kTiled32, false), Param(kTiled128, false), Param(kF16, false), Param(kF16, true), Param(kBF16, false),
                                         Param(kBF16, true)),
                         split_name);

}  // namespace
}  // namespace lapilli::test
