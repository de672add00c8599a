#pragma once
// All device memory of a run: weights, the training step, evaluation and generation, in two arenas planned together.
// The trainer commits it; `lapilli plan` only reads the sizes.

#include <map>
#include <memory>
#include <string>

#include "model/train/evaluation.h"
#include "model/train/generator.h"
#include "model/train/teacher.h"
#include "model/train/training_step.h"

namespace lapilli {

struct TrainingMemory {
  // Reserves memory, and reads the teacher if there is one. Allocates nothing before commit(). `table` must outlive the
  // object.
  TrainingMemory(Device& device, const Config& student, const ParameterTable& table);
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

// The resources of a run, before it starts: memory by kind, work per token.
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
