#pragma once
// Which kernel multiplies: measured for each product as it is recorded, among those that device and shape leave sensible.

#include "engine/tuner.h"
#include "model/matmul.h"

namespace lapilli {

struct MatmulProduct;

class MatmulTuning {
 public:
  // Both must outlive the object.
  MatmulTuning(KernelLibrary& kernels, Tuner& tuner) : kernels_(kernels), tuner_(tuner) {}

  // `own` is what is taken without a measurement; `workspace` bounds splits. Candidates multiply random numbers in memory of their
  // own, of the product's shape, or of fewer rows (tn: less depth) where that would take long. One whose result is not that of `own`,
  // to what f32 sums in another order may differ by, is out, and said so: a driver that multiplies wrongly is not trusted.
  MatmulKernel choose(const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace);

 private:
  KernelLibrary& kernels_;
  Tuner& tuner_;
};

// The kernels that MatmulTuning compares, `own` first, with their names.
std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace);

// Throws Error unless two results of one product, of factors uniform in [-1, 1], differ by no more than their roundings explain: errors
// of two sums behave like random walks, within 4 sqrt(depth) u sum |a b| each, u half a unit in the last place of f32 (Higham and Mary,
// "A New Approach to Probabilistic Rounding Error Analysis", 2019), and the mean |a b| is 1/4. The same bits are the same, NaNs too.
void require_same_product(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored);

}  // namespace lapilli
