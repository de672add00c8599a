#pragma once
// The transformer: token ids -> final hidden states, and from their gradient the gradients of all parameters.
//
// forward and backward are two linear lists of operations that mirror each other (transformer_forward.cpp,
// transformer_backward.cpp). A block is
//   x -> norm1 -> qkv -> (rope) -> attention -> proj -> + x -> norm2 -> fc | gate_up -> gelu | swiglu -> out -> + x
//
// B sequences of T positions, N = B*T tokens, D width, H heads, G key/value heads, E head width, F feed-forward width.

#include <vector>

#include "model/attention/attention_kernel.h"
#include "model/attention/key_value_cache.h"
#include "model/matmul/matmul.h"
#include "model/ops/ops.h"
#include "model/transformer/batch_tensors.h"
#include "model/transformer/config.h"
#include "model/transformer/weights.h"

namespace lapilli {

// The attention of a block over `batch` sequences of `context` positions.
inline AttentionShape attention_shape(const ModelConfig& config, uint32_t batch, uint32_t context) {
  return {.batch = batch, .context = context, .heads = config.heads, .kv_heads = config.kv_heads, .head_width = config.head_width()};
}

enum class Purpose {
  training,    // keeps the activations for backward
  evaluation,  // all layers share the same memory
};

class Transformer {
 public:
  // Reserves activations (and, for training, gradients of activations) in `arena`. `context` <= the model's.
  Transformer(Arena& arena, const DeviceCaps& caps, const ModelConfig& config, uint32_t batch, uint32_t context, Purpose purpose,
              bool recompute = false, Precision precision = Precision::f32);

  uint32_t tokens() const { return batch_ * context_; }  // N
  // Final hidden states after the last norm, written by forward() and read by the loss; in the operand type.
  Tensor output() const { return normed_; }                  // [N,D]
  // The gradient of output(), f32, written by the loss. REQUIRES: training.
  Tensor d_output() const { return d_hidden_; }              // [N,D]

  // Dropout masks depend on random_state u32 [4] (empty: no dropout) and `micro_batch`.
  void forward(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state, uint32_t micro_batch);
  // Without dropout, of one sequence: also writes the keys and values of its tokens to the cache, the first to `position` u32 [1].
  void forward_into_cache(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, const KeyValueCache& cache, ConstTensor position);

  // REQUIRES: forward() recorded before with the same arguments, d_output() written. Gradients of matrices, biases and
  // norms overwrite or add to `gradients` by `into`; the embedding's gradient always accumulates (with tied embeddings
  // the loss has written it first; otherwise the caller zeroes it).
  void backward(Ops& ops, const ParameterArray& gradients, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state,
                uint32_t micro_batch, Into into);

 private:
  // Activations that are inputs or outputs of GEMMs and may be stored in the operand type; all others are f32.
  enum class Activation {
    normed,        // outputs of norms, and their gradients within blocks
    attention,     // qkv, attention's output, and the gradients of both
    feed_forward,  // before and after the nonlinearity, and the gradients of both
    dropped,       // gradients of the residual stream after dropout_backward
  };
  // The storage type of each kind, decided only here.
  DType storage(Activation kind) const;

  // Activations of a block kept for backward.
  struct Block {
    Tensor input;                // [N,D] the residual stream at the block's input
    Tensor mean1, rstd1;         // [N]
    Tensor normed1;              // [N,D] normed
    Tensor qkv;                  // [N,(H+2G)E] attention, after rope
    Tensor attention, lse;       // [N,H*E] attention, [B*H*T]
    Tensor middle;               // [N,D] after the attention's residual
    Tensor mean2, rstd2;         // [N]
    Tensor normed2;              // [N,D] normed
    Tensor hidden;               // [N,F] or [N,2F] feed_forward, before the nonlinearity; empty if not needed
    Tensor activated;            // [N,F] feed_forward
  };
  // Weights (or gradients) of a block; biases are empty where the model has none.
  struct BlockParameters {
    Tensor norm1, norm1_bias, qkv, qkv_bias, proj, proj_bias;
    Tensor norm2, norm2_bias, up, up_bias, out, out_bias;  // up: fc or gate_up
  };
  static BlockParameters block_parameters(const ParameterArray& array, uint32_t layer);
  BlockParameters block_weights(const ModelWeights& weights, uint32_t layer) const;  // matrices as GEMM operands

  void reserve_blocks(Arena& arena, Purpose purpose, bool recompute);
  void norm_forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias) const;
  void norm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x, ConstTensor mean, ConstTensor rstd,
                     ConstTensor weight, Into into_d_x, Into into) const;
  // hidden = x wt + bias, activated = gelu or swiglu of it.
  void feed_forward(Ops& ops, Tensor activated, Tensor hidden, ConstTensor x, ConstTensor w, ConstTensor bias) const;
  void activate(Ops& ops, Tensor activated, ConstTensor hidden) const;
  // y = x wt + bias, dropped out, + residual.
  void project(Ops& ops, Tensor y, ConstTensor x, ConstTensor w, ConstTensor bias, ConstTensor residual, ConstTensor random_state,
               uint32_t stream) const;
  void linear_backward(Ops& ops, Tensor d_x, Tensor d_w, Tensor d_bias, ConstTensor d_y, ConstTensor x, ConstTensor w, Into into,
                       const MatmulOptions& of_d_x = {}) const;
  // The gradient before the dropout: d_y itself without dropout.
  ConstTensor dropout_backward(Ops& ops, ConstTensor d_y, ConstTensor random_state, uint32_t stream) const;

  // Where the keys and values of a pass go; nowhere in training.
  struct IntoCache {
    const KeyValueCache* cache = nullptr;
    ConstTensor position;
  };
  void forward(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state, uint32_t micro_batch,
               const IntoCache& into);
  void block_forward(Ops& ops, uint32_t layer, Tensor output, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state,
                     uint32_t micro_batch, const IntoCache& into);
  void block_backward(Ops& ops, uint32_t layer, const ParameterArray& gradients, const ModelWeights& weights, const BatchTensors& batch,
                      ConstTensor random_state, uint32_t micro_batch, Into into);
  // Streams of random numbers: one per dropout of the model and micro-batch.
  uint32_t stream(uint32_t micro_batch, uint32_t site) const { return micro_batch * (2 * config_.layers + 1) + site; }
  bool drops(ConstTensor random_state) const { return config_.dropout > 0 && static_cast<bool>(random_state); }

  ModelConfig config_;
  uint32_t batch_, context_;
  bool recompute_;
  Precision precision_;
  bool attention_in_16_bits_;  // attention reads and writes memory in the operand type
  AttentionShape attention_shape_;
  std::vector<Block> blocks_;
  Tensor last_;                            // [N,D] residual stream after the last block
  Tensor mean_, rstd_, normed_;            // final norm
  Tensor d_residual_, d_hidden_;           // [N,D]; d_hidden_ is that of output()
  Tensor d_normed_;                        // [N,D] shares memory with d_hidden_, which is read before the first block writes
  Tensor d_dropped_;                       // [N,D] with dropout
  Tensor d_wide_;                          // [N,F or 2F] gradient of `hidden`
  Tensor d_qkv_, d_attention_, delta_;     // [N,(H+2G)E], [N,H*E], [B*H*T]
  Tensor scratch_;                         // partial sums of column reductions
};

}  // namespace lapilli
