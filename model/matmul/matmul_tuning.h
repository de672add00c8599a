#pragma once
// Which kernels are compared for a product, and what they must agree on.

#include <functional>

#include "engine/tuning/kernel_tuner.h"
#include "model/matmul/matmul.h"

namespace lapilli {

struct MatmulProduct;

// Records a product with a kernel: record_product(), handed in by those who call it.
using MatmulRecorder = std::function<void(Ops&, const MatmulKernel&, const MatmulProduct&)>;

// The fastest kernel for the product that is right on this device. `own` is taken where nothing is measured; `workspace` bounds splits. Fewer
// rows are measured (tn: less depth) where that would take long. The first result is held against sampled elements in double precision.
MatmulKernel tune_matmul(KernelTuner& tuner, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace,
                         const MatmulRecorder& recorder);

// The kernels that are compared, `own` first, with their names.
std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace);

// Throws Error unless two results of one product, of factors uniform in [-1, 1], differ by no more than their roundings explain: errors
// of two sums behave like random walks, within 4 sqrt(depth) u sum |a b| each, u half a unit in the last place of f32 (Higham and Mary,
// "A New Approach to Probabilistic Rounding Error Analysis", 2019), and the mean |a b| is 1/4. The same bits are the same, NaNs too.
void require_same_product(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored,
                          Nonlinearity through = Nonlinearity::none);

}  // namespace lapilli
