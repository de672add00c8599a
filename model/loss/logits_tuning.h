#pragma once
// Chooses the kernel for the logits of a loss, and defines the tolerance between kernels.

#include <vector>

#include "engine/tuning/kernel_tuner.h"
#include "model/loss/loss_plan.h"
#include "model/matmul/matmul.h"

namespace lapilli {

// The kernel for the logits of a loss, among candidates of one precision, the preferred first. Times the forward pass
// of one chunk, with fewer rows where that would take long. Checks a small loss with all options and gradients.
MatmulKernel tune_logits(KernelTuner& tuner, const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates);

// The maximum difference between two correct results of the loss over `vocab` logits of one row with the same operands,
// uniform in [-1, 1]. Errors of sums behave like random walks, as in matmul_tuning.h; a logit gradient may also be
// rounded to the other neighbour in 16 bits.
struct LossTolerance {
  double nll;       // nats
  double gradient;  // of a sum of logit gradients times numbers below 1, relative to the sum of their magnitudes
};
LossTolerance loss_tolerance(uint32_t dim, uint32_t vocab, double temperature, Precision precision);

// Throws Error naming `what` when two results differ by more than `bound`, or one is NaN.
void require_same_values(const std::vector<float>& values, const std::vector<float>& expected, double bound, const char* what);

}  // namespace lapilli
