#pragma once
// One optimizer step, recorded once and replayed: A micro-batches forward and backward, gradient norm, clipping, AdamW.

#include <optional>
#include <string>

#include "engine/program/step_profile.h"
#include "model/io/training_state.h"
#include "model/loss/linear_cross_entropy.h"
#include "model/loss/loss_scale.h"
#include "model/ops/optimizer.h"
#include "model/train/batch_inputs.h"
#include "model/transformer/transformer.h"

namespace lapilli {

// Why a step left parameters and moments unchanged.
enum class Skipped {
  no,
  no_targets,  // none of the batch counts
  overflow,    // gradients overflowed f16; the loss scale was halved
  not_finite,  // a loss or the gradient norm was not finite
};
constexpr const char* kSkippedNames[] = {"no", "no_targets", "overflow", "not_finite"};

struct StepResult {
  LossSums sums;         // over all micro-batches of the step
  double grad_norm = 0;  // before clipping
  Skipped skipped = Skipped::no;
  std::string not_finite = {};  // what was not finite: "the loss of row 3 of micro-batch 117"
  double loss() const { return sums.weight > 0 ? sums.nll / sums.weight : 0; }  // nats per valid token
};

class TrainingStep {
 public:
  // Reserves gradients, optimizer state and inputs in `kept`, and memory used only during run() (activations, the loss)
  // in `scratch`. For distillation, the teacher's forward pass for batches of this size and its weights. What is passed by reference or pointer
  // must outlive the object.
  TrainingStep(Device& device, Arena& kept, Arena& scratch, const Config& config, const ParameterTable& table, const ModelWeights& weights,
               Transformer* teacher = nullptr, const ModelWeights* teacher_weights = nullptr);

  // Records the program. REQUIRES: the arenas are committed. Call once.
  void record(KernelLibrary& kernels, bool profiled, KernelTuner* tuner = nullptr);
  // Records a second program of kernels that compile fast and give the same bits (Ops::quick): run() uses it until the
  // kernels of the first are compiled. Not for profiled steps.
  void record_quick(KernelLibrary& kernels);

  // Blocks until the kernels of the first step are compiled; otherwise the first run() does. Throws Error when one
  // cannot be compiled.
  void prepare() { current().prepare(); }

  const LossScale& loss_scale() const { return loss_scale_; }

  // The optimizer's part of a checkpoint: moments (empty: zeros), updates and loss scale. load() takes all of it, store_counters() gives the last
  // two; moments and weights are read as flat arrays.
  void load(const TrainingState& state);
  void store_counters(TrainingState& state) const;
  std::vector<float> read_values() const;
  std::vector<float> read_first_moment() const;
  std::vector<float> read_second_moment() const;
  std::vector<float> read_gradients() const;  // of the last step, before clipping

  // Runs optimizer step number `step` (1, 2, ...) on A batches of B*T tokens with this learning rate. The divisor of the
  // loss is the weight of all micro-batches together. Adam's bias correction counts updates: steps that were not skipped. Throws Error naming
  // batch and row for a target outside the vocabulary: of the batches, with everything unchanged, or as the device saw them.
  StepResult run(std::span<const Batch> batches, uint64_t step, double lr, uint64_t seed);

  const Program& program() const { return *program_; }
  // The host times of the last step, with the device profile when profiled.
  StepProfile take_profile() const { return {.step = last_step_, .host = host_, .device = program_->take_profile()}; }
  double host_ns() const { return StepProfile{.host = host_}.host_ns(); }  // of the last step: without waiting for the device
  double step_flops() const;  // as flops_per_token() counts them
  const LossPlan& loss_plan() const { return loss_.plan(); }

 private:
  std::unique_ptr<Program> recorded(KernelLibrary& kernels, bool profiled, KernelTuner* tuner, bool quick);
  Program& current();  // the program that run() runs
  void record_micro_batch(Ops& ops, uint32_t micro_batch);
  void record_update(Ops& ops);  // gradient norm, clip, AdamW
  StepResult read_results(std::span<const Batch> batches, uint64_t step);
  Tensor control_tensor(uint64_t first_word, uint32_t words, DType dtype) const;

  Device& device_;
  const Config config_;
  const ParameterTable& table_;
  const ModelWeights& weights_;
  Transformer* teacher_;                 // null: no distillation
  const ModelWeights* teacher_weights_;  // of it
  ParameterArray gradients_, first_moment_, second_moment_;
  BatchInputs inputs_;
  TransferRegion control_;  // words: lr, 1/(1-b1^t), 1/(1-b2^t), apply | random state x4 | loss scale / sum of weights | 1 / loss scale
  TransferRegion results_;  // words: norm, scale | per micro-batch: sums, status
  Transformer transformer_;
  LinearCrossEntropy loss_;
  Tensor nll_;              // [N]
  Tensor norm_scratch_;
  Tensor workspace_;        // for split-K
  std::unique_ptr<Program> program_, quick_;  // quick_: null if not recorded or no longer needed
  LossScale loss_scale_;
  uint64_t updates_ = 0;
  double run_scale_ = 1;  // loss scale of the gradients on the device
  uint64_t last_step_ = 0;
  std::vector<HostSpan> host_;  // of the last step: upload, submit, wait, read results
};

}  // namespace lapilli
