// Gradient of the final hidden states -> gradients of every parameter. transformer_forward.cpp in reverse order;
// d_residual_ is the gradient of the residual stream throughout.

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "model/ops/elementwise.h"
#include "model/ops/embedding.h"
#include "model/transformer/transformer.h"

namespace lapilli {

void Transformer::backward(Ops& ops, const ParameterArray& gradients, const ModelWeights& weights, const BatchTensors& batch,
                           ConstTensor random_state, uint32_t micro_batch, Into into) {
  const Program::Scope pass(ops.program, "backward");
  norm_backward(ops, d_residual_, gradients["norm.weight"], gradients.find("norm.bias"), d_hidden_, last_, mean_, rstd_, weights["norm.weight"],
                Into::overwrite, into);
  for (uint32_t l = config_.layers; l-- > 0;) block_backward(ops, l, gradients, weights, batch, random_state, micro_batch, into);

  const Tensor d_x = d_residual_;
  if (drops(random_state)) {
    const Program::Scope scope(ops.program, "dropout");
    lapilli::dropout_backward(ops, d_x, d_x, random_state, stream(micro_batch, 2 * config_.layers), config_.dropout);
  }
  const Program::Scope scope(ops.program, "embedding");
  embedding_backward(ops, gradients["wte.weight"], d_x, batch.order, batch.segment_start, batch.segment_count, batch.tokens);
  if (const Tensor d_wpe = gradients.find("wpe.weight")) position_embedding_backward(ops, d_wpe, d_x, context_, into);
}

void Transformer::block_backward(Ops& ops, uint32_t layer, const ParameterArray& gradients, const ModelWeights& weights, const BatchTensors& batch,
                                 ConstTensor random_state, uint32_t micro_batch, Into into) {
  Block& b = blocks_[layer];
  const BlockParameters w = block_weights(weights, layer), d = block_parameters(gradients, layer);
  if (recompute_) {
    norm_forward(ops, b.normed2, b.mean2, b.rstd2, b.middle, w.norm2, w.norm2_bias);
    activate(ops, b.activated, b.hidden);
  }
  const ConstTensor d_out = dropout_backward(ops, d_residual_, random_state, stream(micro_batch, 2 * layer + 1));
  const Nonlinearity through = config_.mlp == MlpKind::swiglu ? Nonlinearity::swiglu_backward : Nonlinearity::gelu_backward;
  linear_backward(ops, d_wide_, d.out, d.out_bias, d_out, b.activated, w.out, into, {.nonlinearity = through, .before = b.hidden});
  linear_backward(ops, d_normed_, d.up, d.up_bias, d_wide_, b.normed2, w.up, into);
  norm_backward(ops, d_residual_, d.norm2, d.norm2_bias, d_normed_, b.middle, b.mean2, b.rstd2, w.norm2, Into::accumulate, into);

  const ConstTensor d_proj = dropout_backward(ops, d_residual_, random_state, stream(micro_batch, 2 * layer));
  linear_backward(ops, d_attention_, d.proj, d.proj_bias, d_proj, b.attention, w.proj, into);
  {
    const Program::Scope scope(ops.program, "attention");
    attention_backward(ops, d_qkv_, delta_, d_attention_, b.qkv, b.attention, b.lse, batch.document_start, weights.cos_sin_table(), attention_shape_);
  }
  if (recompute_) norm_forward(ops, b.normed1, b.mean1, b.rstd1, b.input, w.norm1, w.norm1_bias);
  linear_backward(ops, d_normed_, d.qkv, d.qkv_bias, d_qkv_, b.normed1, w.qkv, into);
  norm_backward(ops, d_residual_, d.norm1, d.norm1_bias, d_normed_, b.input, b.mean1, b.rstd1, w.norm1, Into::accumulate, into);
}

}  // namespace lapilli
