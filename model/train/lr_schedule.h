#pragma once
// The learning rate of each step.

#include <cstdint>

#include "model/transformer/config.h"

namespace lapilli {

// Learning rate of step 1, 2, ... steps: linear from lr / warmup to lr over the warm-up, then the schedule from lr down
// to min_lr at `steps`. cosine and linear as named; constant keeps lr; wsd keeps lr and falls linearly over the last
// fifth. Beyond `steps` it keeps its last value.
double learning_rate(const OptimConfig& optim, uint64_t step, uint64_t steps);

}  // namespace lapilli
