#pragma once
// Helpers for the tests of the loss: its kernels, runs, and comparisons.

#include "tests/common/support.h"
#include "tools/check/loss_case.h"

namespace lapilli::test {

inline const std::vector<MatmulKernel>& all_kernels() {
  static const std::vector<MatmulKernel> kernels{
      {KernelClass::cpu, 0, false}, {KernelClass::cpu}, {KernelClass::tiled, 32}, {KernelClass::tiled, 64}, {KernelClass::tiled, 128}};
  return kernels;
}
// And those of cooperative matrices, for problems whose x and w are exact in 16 bits.
inline std::vector<MatmulKernel> all_precisions() {
  std::vector<MatmulKernel> kernels = all_kernels();
  for (const MatmulKernel& kernel : coopmat_kernels())
    if ((kernel.tile == 64) == (kernel.precision == Precision::bf16)) kernels.push_back(kernel);
  return kernels;
}
// And a few of 16 bits, of workgroups' matrices too: drivers take seconds to compile them.
inline std::vector<MatmulKernel> few_precisions() {
  std::vector<MatmulKernel> kernels = all_kernels();
  for (const MatmulKernel& kernel : coopmat_kernels())
    if (kernel.tile == 32) kernels.push_back(kernel);
  for (const MatmulKernel& kernel : coopmat2_kernels())
    if (kernel.tile * kernel.tile_cols <= 128 * 128) kernels.push_back(kernel);
  return kernels;
}
inline std::string kernel_name(const MatmulKernel& kernel) {
  if (kernel.kernel_class == KernelClass::coopmat2)
    return fmt::format("coopmat2_{}_{}{}", to_string(kernel.precision), kernel.tile, kernel.emulated ? "_emulated" : "");
  if (kernel.kernel_class == KernelClass::coopmat) return fmt::format("coopmat_{}_{}", to_string(kernel.precision), kernel.tile);
  if (kernel.kernel_class == KernelClass::tiled) return fmt::format("tiled{}", kernel.tile);
  return kernel.load64 ? "cpu_load64" : "cpu_load32";
}
inline bool is_swiftshader() { return device().caps().name.find("SwiftShader") != std::string::npos; }
// A test of every matmul kernel.
class LossTest : public testing::TestWithParam<MatmulKernel> {
 protected:
  void SetUp() override {
    if (GetParam().kernel_class == KernelClass::tiled && GetParam().tile > 32 && is_swiftshader())
      GTEST_SKIP() << "SwiftShader compiles tiles of 64 and 128 for up to half a minute a test; lavapipe runs them all";
    if (const auto reason = why_not(GetParam())) GTEST_SKIP() << *reason;
  }
};
inline std::string loss_case_name(const testing::TestParamInfo<MatmulKernel>& info) { return kernel_name(info.param); }

// ---- a run ----

inline LossRun run(const LossProblem& p, const LossPlan& plan, const RunOptions& options = {}) {
  Bench bench;
  LossCase loss(bench, p, plan, options);
  bench.run([&](Ops& ops) { loss.record(ops); });
  return loss.read(bench);
}
inline LossRun run(const LossProblem& p, const Partition& partition, const RunOptions& options = {}) {
  return run(p, plan_of(p, partition), options);
}

// ---- comparisons ----

inline void expect_matches(const LossRun& actual, const LossProblem& p, const LossResult& expected, double of_logit, bool gradients = true,
                           Precision precision = Precision::f32) {
  const LossBounds bounds = bounds_of(p, expected, of_logit, precision);
  expect_close(actual.nll, expected.nll, bounds.nll, "nll");
  EXPECT_NEAR(actual.sums.weight, expected.weight, 16 * kEpsilon * expected.weight);
  EXPECT_NEAR(actual.sums.nll, expected.sum_nll, bounds.sum_nll);
  EXPECT_NEAR(actual.sums.objective, expected.sum_objective, bounds.sum_objective);
  EXPECT_NEAR(actual.sums.z_loss, expected.sum_z_loss, bounds.sum_objective);
  EXPECT_EQ(actual.sums.top1_correct, expected.top1_correct);
  EXPECT_EQ(actual.status[args::kStatusBadTargets], 0U);
  EXPECT_EQ(non_finite_row(actual.status), std::nullopt);
  if (!gradients) return;
  expect_close(actual.d_x, expected.d_x, bounds.d_x, "d_x");
  expect_close(actual.d_w, expected.d_w, bounds.d_w, "d_w");
}
inline void expect_matches(const LossRun& actual, const LossProblem& p, Precision precision = Precision::f32) {
  expect_matches(actual, p, reference::loss(p), logit_error(p), true, precision);
}

inline void expect_same_run(const LossRun& a, const LossRun& b) {
  expect_same_bits(a.nll, b.nll, "nll");
  expect_same_bits(a.d_x, b.d_x, "d_x");
  expect_same_bits(a.d_w, b.d_w, "d_w");
  EXPECT_EQ(a.sums.nll, b.sums.nll);
  EXPECT_EQ(a.sums.objective, b.sums.objective);
  EXPECT_EQ(a.sums.top1_correct, b.sums.top1_correct);
}

}  // namespace lapilli::test
