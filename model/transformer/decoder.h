#pragma once
// The transformer for one position at a time: with the keys and values of the positions before it in a cache, a token costs its own work alone.
// Weights are read once; what the operations compute is that of Transformer::forward(), in another order of sums.

#include "model/attention/key_value_cache.h"
#include "model/transformer/weights.h"

namespace lapilli {

class Decoder {
 public:
  // Reserves activations of one position. `weights_in`: f32, or f16 or bf16 where ModelWeights has shadow weights of that type.
  Decoder(Arena& arena, const ModelConfig& config, Precision weights_in = Precision::f32);

  // Records the work for token u32 [1] at `position` u32 [1] below the context; adds its keys and values to the cache.
  void forward(Ops& ops, const ModelWeights& weights, const KeyValueCache& cache, ConstTensor token, ConstTensor position);

  Tensor output() const { return normed_; }  // [1,D] final hidden state, f32

 private:
  void block(Ops& ops, uint32_t layer, const ModelWeights& weights, Tensor cache, ConstTensor position);
  void norm(Ops& ops, const ModelWeights& weights, const std::string& name);  // normed_ = norm of x_

  ModelConfig config_;
  Precision weights_in_;
  Tensor x_, normed_;      // [1,D] residual stream; after a norm
  Tensor mean_, rstd_;     // [1]
  Tensor qkv_, attention_;  // [1,(H+2G)E], [1,H*E]
  Tensor activated_;       // [1,F]
};

}  // namespace lapilli
