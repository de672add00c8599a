#pragma once
// Text generation: repeatedly samples the next token from the softmax of the last position's logits. A prompt is read in one pass, which leaves
// its keys and values in a cache; from then on a token costs the work of one position.

#include <functional>

#include "model/loss/linear_cross_entropy.h"
#include "model/train/batch_inputs.h"
#include "model/train/sampler.h"
#include "model/transformer/decoder.h"
#include "model/transformer/transformer.h"

namespace lapilli {

class Generator {
 public:
  // Reserves inputs and results in `kept`, activations and the cache in `scratch`. `loss` has softcap and temperature, which are part of the
  // model's logits. `weights_in`: of the work for single tokens (Decoder).
  Generator(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss, Precision weights_in = Precision::f32);
  // `quick`: with kernels that compile fast and give the same bits (Ops::quick). REQUIRES: the arenas are committed. Call
  // once.
  void record(KernelLibrary& kernels, const ModelWeights& weights, bool quick = false);

  // Blocks until the kernels are compiled; otherwise the first call does. Throws Error when one cannot be compiled.
  void prepare();

  // What generate() may assume of the cache: `kept` since the last call, so that tokens with which the prompt begins as that text did are not read
  // again; or `lost`, because others used the scratch memory or the weights changed.
  enum class Cache { lost, kept };

  // Continues `prompt` (not empty), of which the model sees the last T tokens. `on_token` gets each new token and may stop by returning
  // false. When prompt and new tokens exceed T, the model goes on with the last T/2 of them, read again in one pass, so that few
  // passes are over as many as T tokens. The id `stop` (end of text) also ends generation and is not returned. `stream`: of the random numbers,
  // for several texts with one seed.
  std::vector<uint32_t> generate(const std::vector<uint32_t>& prompt, const SamplingOptions& options,
                                 const std::function<bool(uint32_t)>& on_token = {}, std::optional<uint32_t> stop = std::nullopt,
                                 Cache cache = Cache::lost, uint32_t stream = 0);

  // Logits [V] of the token after `tokens` (at most T of them), read in one pass.
  std::vector<float> next_logits(std::span<const uint32_t> tokens);
  // The same after one token more, by the cache. REQUIRES: fewer than T tokens have been read.
  std::vector<float> next_logits_after(uint32_t token);

 private:
  // The forward pass over the first `length` positions; one for each power of two up to T, so that short texts are
  // fast.
  struct Pass {
    uint32_t length;
    std::unique_ptr<Transformer> transformer;
    std::unique_ptr<Program> program;
  };

  struct InputTensors {
    ConstTensor row, one, position;  // u32 [1]: whose logits to compute, and 1; where the first token stands
  };
  InputTensors inputs() const;
  ConstTensor tokens(uint32_t count) const;
  void record_head(Ops& ops, ConstTensor hidden, const ModelWeights& weights) const;
  const Pass& pass_for(size_t tokens) const;
  std::vector<float> run(Program& program, std::span<const uint32_t> tokens, uint32_t position);
  // By the cache, where it has the beginning of `tokens` and few are left, else in one pass.
  std::vector<float> read(std::span<const uint32_t> tokens);

  Device& device_;
  ModelConfig config_;
  LossOptions loss_;
  Precision weights_in_;
  TransferRegion words_;   // u32 [T] ids, then the words of InputTensors
  TransferRegion logits_;  // [V]
  Tensor last_;            // [1,D] the hidden state of `row`
  KeyValueCache cache_;
  Decoder decoder_;
  std::vector<Pass> passes_;
  std::unique_ptr<Program> decode_;
  std::vector<uint32_t> cached_;  // the tokens whose keys and values are in the cache
};

}  // namespace lapilli
