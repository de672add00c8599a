#pragma once
// Chooses the kernel of a matmul by measurement, and defines the tolerance between kernels.

#include <functional>

#include "engine/tuning/kernel_tuner.h"
#include "model/matmul/matmul_problem.h"
#include "model/ops/ops.h"

namespace lapilli {

// Records a matmul with a kernel: record_matmul(), passed in by the caller.
using MatmulRecorder = std::function<void(Ops&, const MatmulKernel&, const MatmulProblem&)>;

// The fastest correct kernel for the matmul on this device, or `default_kernel` if nothing was measured. `workspace` bounds
// splits. Measures fewer rows (tn: less depth) where all would take long. Checks sampled elements of the first
// result in double precision.
MatmulKernel tune_matmul(KernelTuner& tuner, const MatmulProblem& problem, const MatmulKernel& default_kernel, const Tensor& workspace,
                         const MatmulRecorder& recorder);

// The kernels to measure, `default_kernel` first.
std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProblem& problem, const MatmulKernel& default_kernel,
                                            const Tensor& workspace);

// Whether coopmat2 supports the problem: 16-bit operands aligned to 16 bytes, on a device that has it.
bool supports_coopmat2(const DeviceCaps& caps, const MatmulProblem& problem, Precision precision);

// Throws Error unless two results of one matmul with operands uniform in [-1, 1] agree within rounding: the errors of
// two sums behave like random walks, within 4 sqrt(depth) u sum |a b| each, u half a unit in the last place of f32
// (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", 2019), and the mean |a b| is 1/4.
// Identical bits agree, including NaNs.
void require_same_matmul(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored,
                         Nonlinearity through = Nonlinearity::none);

}  // namespace lapilli
