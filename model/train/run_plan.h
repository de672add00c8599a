#pragma once
// The resources of a run, before it starts: memory by kind, work per token.

#include <map>
#include <string>

#include "model/transformer/config.h"
#include "model/loss/linear_cross_entropy.h"

namespace lapilli {

class Device;

struct RunPlan {
  uint64_t parameters = 0;
  uint64_t tokens_per_step = 0;
  std::map<std::string, uint64_t> kept_bytes;     // by kind, allocated for the whole run
  std::map<std::string, uint64_t> scratch_bytes;  // by kind; training, evaluation and generation share memory
  uint64_t memory_bytes = 0;                      // total device memory of the run
  uint64_t available_bytes = 0;                   // free device memory now
  double flops_per_token = 0;                     // forward and backward
  LossPlan loss;
};

// Plans exactly what Trainer would allocate, without allocating it. REQUIRES: config.model.vocab_size set.
RunPlan plan_run(Device& device, const Config& config);

// The largest micro-batch in sequences, up to the configured one, with which the run fits into the free device memory;
// 0 when not even one fits.
uint32_t largest_fitting_batch(Device& device, const Config& config);

}  // namespace lapilli
