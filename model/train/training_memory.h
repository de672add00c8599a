#pragma once
// All device memory of a run: weights, the training step, evaluation and generation, in two arenas planned together.
// The trainer commits it; `lapilli plan` only reads the sizes.

#include <memory>

#include "model/train/evaluation.h"
#include "model/train/generator.h"
#include "model/train/teacher.h"
#include "model/train/training_step.h"

namespace lapilli {

struct TrainingMemory {
  // Reserves memory, and reads the teacher if there is one. Allocates nothing before commit(). `table` must outlive the
  // object.
  TrainingMemory(Device& device, const Config& config, const ParameterTable& table);
  // Throws Error with the plan by kind when it does not fit.
  void commit(Device& device) {
    Arena::commit_all(device, {&kept, &scratch});
    if (teacher) teacher->load(device);
  }
  // Kernels compile in the background, in the order of use: see Program::prepare(). `tuner`: for the kernels of
  // training and evaluation; null: by device and shape.
  void record(KernelLibrary& kernels, bool profiled, KernelTuner* tuner = nullptr);
  uint64_t planned_bytes() const { return kept.planned_bytes() + scratch.planned_bytes(); }

  Arena kept;     // weights, gradients, moments, inputs, results
  Arena scratch;  // activations and the loss: training, evaluation and generation share it
  std::unique_ptr<ModelWeights> weights;
  std::unique_ptr<Teacher> teacher;  // or null
  std::unique_ptr<TrainingStep> step;
  std::unique_ptr<EvaluationPass> evaluation;
  std::unique_ptr<Generator> generator;
};

}  // namespace lapilli
