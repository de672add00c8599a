#pragma once
// Loss on held-out tokens: consecutive windows, every token but the first predicted exactly once.

#include <atomic>

#include "model/loss/linear_cross_entropy.h"
#include "model/train/batch_inputs.h"
#include "model/transformer/transformer.h"

namespace lapilli {

struct EvaluationResult {
  double loss = 0;           // mean nats per valid target
  double perplexity = 0;     // exp(loss)
  double bits_per_byte = 0;  // total nats / ln 2 / UTF-8 bytes of the scored text; NaN where the text is not known
  double top1 = 0;           // share of targets that are the largest logit
  double standard_error = 0; // of loss, assuming independent targets
  double text_bytes = 0;     // UTF-8 bytes of the scored text; 0 where it is not known
  uint64_t tokens = 0;       // valid targets
  uint64_t not_finite = 0;   // of them, those whose loss is not finite
  bool is_complete = true;   // false: stopped early; the figures above are of no meaning
};

// Of a text that has tokens of several in these shares, which sum to 1. REQUIRES as many shares as parts, and at least one.
EvaluationResult mixed(std::span<const EvaluationResult> parts, std::span<const double> shares);

// The recorded forward pass and loss for batches of B windows of T tokens.
class EvaluationPass {
 public:
  // Reserves inputs and results in `kept`, activations and the loss in `scratch`. Uses only softcap and temperature of
  // `loss`. Throws Error when the device has no matmul kernel for `precision`.
  EvaluationPass(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss, Precision precision, uint32_t batch,
                 uint32_t context, bool document_mask);
  // REQUIRES: the arenas are committed. Call once.
  void record(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner = nullptr);
  // Like TrainingStep::record_quick().
  void record_quick(KernelLibrary& kernels, const ModelWeights& weights);

  // Blocks until the kernels are compiled; otherwise the first run() does. Throws Error when one cannot be compiled.
  void prepare() { current().prepare(); }

  // Scores every window, until `stop` is set by another thread or a signal. The host sums in double. Throws Error for a target outside the
  // vocabulary.
  EvaluationResult run(const TokenShard& shard, uint64_t max_targets = UINT64_MAX, uint32_t stride = 0, const std::atomic<bool>* stop = nullptr);

  // Nats of each token of one batch (0 where it has no target); for tests and tools.
  std::vector<float> run_batch(const Batch& batch, LossSums* sums = nullptr);

 private:
  std::unique_ptr<Program> recorded(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner, bool quick);
  Program& current();  // the program to run

  Device& device_;
  ModelConfig config_;
  Precision precision_;
  uint32_t batch_, context_;
  bool document_mask_;
  BatchInputs inputs_;
  TransferRegion results_;  // nll [N], sums, status
  Transformer transformer_;
  LinearCrossEntropy loss_;
  Tensor workspace_;  // for split-K
  std::unique_ptr<Program> program_, quick_;  // quick_: null if not recorded or no longer needed
};

}  // namespace lapilli
