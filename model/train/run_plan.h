#pragma once
// What a run will take, before it is started: memory by kind, work per token.

#include <map>
#include <string>

#include "model/transformer/config.h"
#include "model/loss/linear_cross_entropy.h"

namespace lapilli {

class Device;

struct RunPlan {
  uint64_t parameters = 0;
  uint64_t tokens_per_step = 0;
  std::map<std::string, uint64_t> kept_bytes;     // by kind, alive all the time
  std::map<std::string, uint64_t> scratch_bytes;  // by kind and turn; training, evaluation and generation share places
  uint64_t memory_bytes = 0;                      // of the device, in all
  uint64_t available_bytes = 0;                   // that the device has left now
  double flops_per_token = 0;                     // forward and backward
  LossPlan loss;
};

// Plans exactly what Trainer would allocate, without allocating it. REQUIRES: config.model.vocab_size set.
RunPlan plan_run(Device& device, const Config& config);

// The most sequences a micro-batch may have, up to the configuration's own, for the run to fit into what the device has left;
// 0 when not even one fits.
uint32_t largest_fitting_batch(Device& device, const Config& config);

}  // namespace lapilli
