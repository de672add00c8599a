// Token ids -> final hidden states. transformer_backward.cpp runs it in reverse order.

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "model/ops/elementwise.h"
#include "model/ops/embedding.h"
#include "model/transformer/transformer.h"

namespace lapilli {

void Transformer::forward(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state, uint32_t micro_batch) {
  forward(ops, weights, batch, random_state, micro_batch, {});
}

void Transformer::forward_into_cache(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, const KeyValueCache& cache,
                                     ConstTensor position) {
  CHECK(batch_ == 1, "a cache of {} sequences", batch_);
  forward(ops, weights, batch, {}, 0, {.cache = &cache, .position = position});
}

void Transformer::forward(Ops& ops, const ModelWeights& weights, const BatchTensors& batch, ConstTensor random_state, uint32_t micro_batch,
                          const IntoCache& into) {
  const Program::Scope pass(ops.program, "forward");
  {
    const Program::Scope scope(ops.program, "embedding");
    Tensor x = blocks_[0].input;
    const Tensor wpe = weights.find("wpe.weight");
    embedding_forward(ops, x, batch.tokens, weights["wte.weight"], wpe ? wpe.row_range(0, context_) : wpe, context_);
    if (drops(random_state)) dropout_forward(ops, x, x, {}, random_state, stream(micro_batch, 2 * config_.layers), config_.dropout);
  }
  for (uint32_t l = 0; l < config_.layers; ++l) {
    const Tensor output = l + 1 < config_.layers ? blocks_[l + 1].input : last_;
    block_forward(ops, l, output, weights, batch, random_state, micro_batch, into);
  }
  norm_forward(ops, normed_, mean_, rstd_, last_, weights["norm.weight"], weights.find("norm.bias"));
}

void Transformer::block_forward(Ops& ops, uint32_t layer, Tensor output, const ModelWeights& weights, const BatchTensors& batch,
                                ConstTensor random_state, uint32_t micro_batch, const IntoCache& into) {
  Block& b = blocks_[layer];
  const BlockParameters w = block_weights(weights, layer);
  norm_forward(ops, b.normed1, b.mean1, b.rstd1, b.input, w.norm1, w.norm1_bias);
  {
    const Program::Scope scope(ops.program, "matmul");
    const Rotary rotary{.cos_sin_table = weights.cos_sin_table(), .context = context_, .rotary_heads = config_.heads + config_.kv_heads};
    matmul_nt(ops, b.qkv, b.normed1, w.qkv, Into::overwrite,
              {.bias = w.qkv_bias, .nonlinearity = rotary.cos_sin_table ? Nonlinearity::rotary : Nonlinearity::none, .rotary = rotary});
  }
  {
    const Program::Scope scope(ops.program, "attention");
    if (into.cache != nullptr) append_to_cache(ops, into.cache->layers[layer], b.qkv, into.position, attention_shape(config_, 1, config_.context));
    attention_forward(ops, b.attention, b.lse, b.qkv, batch.document_start, attention_shape_);
  }
  project(ops, b.middle, b.attention, w.proj, w.proj_bias, b.input, random_state, stream(micro_batch, 2 * layer));

  norm_forward(ops, b.normed2, b.mean2, b.rstd2, b.middle, w.norm2, w.norm2_bias);
  feed_forward(ops, b.activated, b.hidden, b.normed2, w.up, w.up_bias);
  project(ops, output, b.activated, w.out, w.out_bias, b.middle, random_state, stream(micro_batch, 2 * layer + 1));
}

}  // namespace lapilli
