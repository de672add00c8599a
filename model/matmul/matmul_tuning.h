#pragma once
// Which kernels are compared for a product, and what they must agree on.

#include "model/matmul/matmul.h"

namespace lapilli {

struct MatmulProduct;

// The kernels that KernelTuning compares, `own` first, with their names.
std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace);

// Throws Error unless two results of one product, of factors uniform in [-1, 1], differ by no more than their roundings explain: errors
// of two sums behave like random walks, within 4 sqrt(depth) u sum |a b| each, u half a unit in the last place of f32 (Higham and Mary,
// "A New Approach to Probabilistic Rounding Error Analysis", 2019), and the mean |a b| is 1/4. The same bits are the same, NaNs too.
void require_same_product(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored,
                          Nonlinearity through = Nonlinearity::none);

}  // namespace lapilli
