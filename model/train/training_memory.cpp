#include "model/train/training_memory.h"

#include "model/transformer/flops.h"

namespace lapilli {

TrainingMemory::TrainingMemory(Device& device, const Config& student, const ParameterTable& table)
    : kept(device.caps(), "weights and optimizer"), scratch(device.caps(), "activations") {
  Config config = student;
  weights = std::make_unique<ModelWeights>(kept, config.model, table, config.train.precision);
  Arena::AliasScope alias_scope(scratch);
  if (!config.teacher.empty()) {
    LoadedCheckpoint checkpoint = load_teacher(config);
    config = with_teacher(std::move(config), checkpoint.config);
    teacher = std::make_unique<Teacher>(device.caps(), kept, scratch, config, std::move(checkpoint));
  }
  step = std::make_unique<TrainingStep>(device, kept, scratch, config, table, *weights, teacher ? &teacher->transformer() : nullptr,
                                        teacher ? &teacher->weights() : nullptr);
  alias_scope.next();
  evaluation = std::make_unique<EvaluationPass>(device, kept, scratch, config.model, config.loss, config.train.precision, config.data.batch,
                                                config.model.context, config.data.document_mask);
  alias_scope.next();
  generator = std::make_unique<Generator>(device, kept, scratch, config.model, config.loss);
}

void TrainingMemory::record(KernelLibrary& kernels, bool profiled, KernelTuner* tuner) {
  // With a driver that needs a minute to compile at its first start, begin with small kernels and compile the others
  // during the first steps.
  const bool may_start_quickly = kernels.device().caps().shader_objects && !profiled;
  if (may_start_quickly) kernels.defer();
  step->record(kernels, profiled, tuner);
  evaluation->record(kernels, *weights, tuner);
  kernels.stop_deferring();
  const bool quick = may_start_quickly && !kernels.has_cached_deferred();
  if (quick) {
    step->record_quick(kernels);
    evaluation->record_quick(kernels, *weights);
  }
  generator->record(kernels, *weights, quick);  // the first evaluation needs a sample
  kernels.start_deferred();
}

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
