#pragma once
// `[loss] strategy = "auto"`: a short measurement on this device chooses among the plans within the memory budget.

#include <string>

#include "engine/tuning/kernel_tuner.h"
#include "model/loss/linear_cross_entropy.h"

namespace lapilli {

struct TunedLoss {
  LossOptions options;  // with the chosen strategy and chunk: they give the same plan without measuring
  LossPlan plan;
  std::string reason;   // "measured: full ... 12.1 ms, ..."; empty when the options left no choice
};

// Measures the candidates of loss_candidates() on random data. A large shape is measured with fewer columns, and chunks
// scaled alike. Allocates memory for one candidate at a time. All GEMMs use `kernel`: the kernel that KernelTuner
// chooses later is faster for every candidate alike.
TunedLoss tune_loss(KernelTuner& tuner, const LossOptions& options, const LossShape& shape, const MatmulKernel& kernel);

}  // namespace lapilli
