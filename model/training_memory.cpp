#include "model/training_memory.h"

namespace lapilli {

TrainingMemory::TrainingMemory(Device& device, const Config& config, const ParameterTable& table)
    : kept(device.caps(), "weights and optimizer"), scratch(device.caps(), "activations") {
  weights = std::make_unique<ModelWeights>(kept, config.model, table);
  Arena::Alternatives alternatives(scratch);
  step = std::make_unique<TrainingStep>(device, kept, scratch, config, table, *weights);
  alternatives.next();
  evaluation = std::make_unique<EvaluationPass>(device, kept, scratch, config.model, config.loss, config.data.batch, config.model.context,
                                                config.data.document_mask);
  alternatives.next();
  generator = std::make_unique<Generator>(device, kept, scratch, config.model, config.loss);
}

void TrainingMemory::record(KernelLibrary& kernels, bool profiled) {
  step->record(kernels, profiled);
  evaluation->record(kernels, *weights);
  generator->record(kernels, *weights);
  kernels.save_cache();
}

}  // namespace lapilli
