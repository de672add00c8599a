#include "model/plan.h"

#include "model/flops.h"
#include "model/training_memory.h"

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

}  // namespace lapilli
