#include "model/train/training_memory.h"

namespace lapilli {

TrainingMemory::TrainingMemory(Device& device, const Config& student, const ParameterTable& table)
    : kept(device.caps(), "weights and optimizer"), scratch(device.caps(), "activations") {
  Config config = student;
  weights = std::make_unique<ModelWeights>(kept, config.model, table, config.train.precision);
  Arena::AliasScope alias_scope(scratch);
  if (!config.teacher.empty()) {
    LoadedCheckpoint checkpoint = load_teacher(config);
    teacher = std::make_unique<Teacher>(device.caps(), kept, scratch, config, std::move(checkpoint));
  }
  step = std::make_unique<TrainingStep>(device, kept, scratch, config, table, *weights, teacher.get());
  alias_scope.next();
  evaluation = std::make_unique<EvaluationPass>(device, kept, scratch, config.model, config.loss, config.train.precision, config.data.batch, config.model.context,
                                                config.data.document_mask);
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
  if (may_start_quickly && !kernels.has_cached_deferred()) {
    step->record_quick(kernels);
    evaluation->record_quick(kernels, *weights);
  }
  generator->record(kernels, *weights);  // its kernels are small, and the first evaluation needs a sample
  kernels.start_deferred();
}

}  // namespace lapilli
