#pragma once
// `[loss] strategy = "auto"`: the memory budget rules out, a short measurement on this device decides.

#include <string>

#include "engine/tuning/kernel_tuner.h"
#include "model/loss/linear_cross_entropy.h"

namespace lapilli {

struct TunedLoss {
  LossOptions options;  // with the strategy and the chunk that were chosen: the same plan again, without measuring
  LossPlan plan;
  std::string reason;   // "measured: full ... 12.1 ms, ..."; empty when the options left no choice
};

// Compares the candidates of loss_candidates() on random data. A shape too large for a moment's work is measured with fewer
// columns, the chunks scaled alike. Allocates for the measurement what the candidates need, one after the other. `kernel` is
// that of all products: what KernelTuner chooses later is faster for each of them alike.
TunedLoss tune_loss(KernelTuner& tuner, const LossOptions& options, const LossShape& shape, const MatmulKernel& kernel);

}  // namespace lapilli
