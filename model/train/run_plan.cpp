#include "model/train/run_plan.h"

#include "model/transformer/flops.h"
#include "model/train/training_memory.h"

namespace lapilli {

RunPlan plan_run(Device& device, const Config& config) {
  CHECK(config.model.vocab_size > 0);
  const ParameterTable table(config.model);
  const TrainingMemory memory(device, config, table);
  RunPlan plan;
  plan.parameters = table.count();
  plan.tokens_per_step = uint64_t{config.data.batch} * config.data.accumulate * config.model.context;
  plan.kept_bytes = memory.kept.bytes_by_kind();
  plan.scratch_bytes = memory.scratch.bytes_by_kind();
  plan.memory_bytes = memory.planned_bytes();
  plan.available_bytes = device.query_available_bytes();
  plan.flops_per_token = flops_per_token(config.model, table);
  plan.loss = memory.step->loss_plan();
  return plan;
}

uint32_t largest_fitting_batch(Device& device, const Config& config) {
  const auto fits = [&](uint32_t batch) {
    Config smaller = config;
    smaller.data.batch = batch;
    try {
      const RunPlan plan = plan_run(device, smaller);
      return plan.memory_bytes <= plan.available_bytes;
    } catch (const Error&) {  // one tensor is more than the device allocates at once
      return false;
    }
  };
  uint32_t fitting = 0, failing = config.data.batch + 1;
  while (fitting + 1 < failing) {
    const uint32_t middle = fitting + (failing - fitting) / 2;
    (fits(middle) ? fitting : failing) = middle;
  }
  return fitting;
}

}  // namespace lapilli
