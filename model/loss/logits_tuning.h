#pragma once
// Which kernels are compared for the logits of a loss, and what they must agree on.

#include <vector>

#include "engine/tuning/kernel_tuner.h"
#include "model/loss/loss_plan.h"
#include "model/matmul/matmul.h"

namespace lapilli {

// What makes the logits of a loss, out of kernels of one precision, the preferred first. One chunk is measured, scored only; fewer rows of it
// where that would take long. What is compared is a small loss with all its options and gradients.
MatmulKernel tune_logits(KernelTuner& tuner, const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates);

// How far two results of the loss over `vocab` logits of one row may lie from each other when both are right and the factors, uniform in
// [-1, 1], are the same. Sums behave like random walks, as in matmul_tuning.h; a gradient of a logit may also be rounded to another
// neighbour in 16 bits.
struct LossTolerance {
  double nll;       // nats
  double gradient;  // of a sum of gradients of logits times numbers below 1, relative to the sum of the gradients' magnitudes
};
LossTolerance loss_tolerance(uint32_t dim, uint32_t vocab, double temperature, Precision precision);

// Throws Error saying `what` differs where two results are further from each other than `bound`, or one is no number.
void require_same_values(const std::vector<float>& values, const std::vector<float>& expected, double bound, const char* what);

}  // namespace lapilli
