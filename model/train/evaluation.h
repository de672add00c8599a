#pragma once
// Loss on held-out tokens, exactly as promised: consecutive windows, every token but the first predicted once.

#include "model/train/batch_inputs.h"
#include "model/loss/linear_cross_entropy.h"

namespace lapilli {

struct EvaluationResult {
  double loss = 0;           // mean nats per valid target
  double perplexity = 0;     // exp(loss)
  double bits_per_byte = 0;  // nats in all / ln 2 / UTF-8 bytes of the scored text
  double top1 = 0;           // share of targets that are the largest logit
  double standard_error = 0; // of loss, taking targets as independent
  uint64_t tokens = 0;       // valid targets
};

// The recorded forward pass and loss for batches of B windows of T tokens.
class EvaluationPass {
 public:
  // Reserves inputs and results in `kept`, activations and the loss in `scratch`. Only softcap and temperature of `loss` count.
  // Throws Error when the device does not multiply in `precision`.
  EvaluationPass(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss, Precision precision,
                 uint32_t batch, uint32_t context, bool document_mask);
  // REQUIRES: the arenas are committed. Call once.
  void record(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner = nullptr);
  // As TrainingStep::record_quick().
  void record_quick(KernelLibrary& kernels, const ModelWeights& weights);

  // Waits for the kernels; the first run() does it otherwise. Throws Error where one could not be compiled.
  void prepare() { current().prepare(); }

  // Scores every window. Sums are made in double on the host. Throws Error for a target outside the vocabulary.
  EvaluationResult run(const TokenShard& shard, uint64_t max_targets = UINT64_MAX, uint32_t stride = 0);

  // Nats of each token of one batch (0 where it has no target); for tests and tools.
  std::vector<float> run_batch(const Batch& batch, LossSums* sums = nullptr);

 private:
  std::unique_ptr<Program> recorded(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner, bool quick);
  Program& current();  // what runs

  Device& device_;
  ModelConfig config_;
  Precision precision_;
  uint32_t batch_, context_;
  bool document_mask_;
  BatchInputs inputs_;
  TransferRegion results_;  // nll [N], sums, status
  Transformer transformer_;
  LinearCrossEntropy loss_;
  Tensor workspace_;  // of products
  std::unique_ptr<Program> program_, quick_;  // quick_: none, or no longer
};

}  // namespace lapilli
