#pragma once
// Text generation: repeatedly samples the next token from the softmax of the last position's logits.

#include <functional>

#include "model/loss/linear_cross_entropy.h"
#include "model/train/batch_inputs.h"
#include "model/transformer/transformer.h"

namespace lapilli {

struct SamplingOptions {
  uint32_t tokens = 200;     // number to generate
  double temperature = 0.8;  // 0: always the most likely token
  uint32_t top_k = 0;        // 0: all
  double top_p = 1.0;        // nucleus: the smallest set of most likely tokens with this total probability
  uint64_t seed = 1;         // same seed, model, prompt and device: same tokens
};

class Generator {
 public:
  // Reserves inputs and results in `kept`, activations in `scratch`. `loss` has softcap and temperature, which are part
  // of the model's logits.
  Generator(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss);
  // `quick`: with kernels that compile fast and give the same bits (Ops::quick). REQUIRES: the arenas are committed. Call
  // once.
  void record(KernelLibrary& kernels, const ModelWeights& weights, bool quick = false);

  // Blocks until the kernels are compiled; otherwise the first call does. Throws Error when one cannot be compiled.
  void prepare();

  // Continues `prompt` (not empty), of which the model sees the last T tokens. `on_token` gets each new token and may stop by returning
  // false. When prompt and new tokens exceed T, the model goes on with the last T/2 of them, so that most passes are over fewer than T
  // tokens. The id `stop` (end of text) also ends generation and is not returned.
  std::vector<uint32_t> generate(const std::vector<uint32_t>& prompt, const SamplingOptions& options,
                                 const std::function<bool(uint32_t)>& on_token = {}, std::optional<uint32_t> stop = std::nullopt);

  // Logits [V] of the token after `tokens` (at most T of them).
  std::vector<float> next_logits(std::span<const uint32_t> tokens);

 private:
  // The forward pass over the first `length` positions; one for each power of two up to T, so that short texts are
  // fast.
  struct Pass {
    uint32_t length;
    std::unique_ptr<Transformer> transformer;
    std::unique_ptr<Program> program;
  };

  Device& device_;
  ModelConfig config_;
  LossOptions loss_;
  TransferRegion tokens_;    // u32 [T] ids, then {row, 1}: the position whose logits to compute
  TransferRegion logits_;    // [V]
  Tensor last_;              // [1,D] its hidden state
  std::vector<Pass> passes_;
};

// One sample from softmax(logits / temperature) restricted to top_k and top_p; `uniform` in [0,1).
uint32_t sample_token(std::span<const float> logits, const SamplingOptions& options, double uniform);

}  // namespace lapilli
