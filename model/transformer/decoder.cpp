#include "model/transformer/decoder.h"

#include "model/matmul/matvec.h"
#include "model/ops/embedding.h"
#include "model/ops/norm.h"
#include "model/transformer/transformer.h"

namespace lapilli {

Decoder::Decoder(Arena& arena, const ModelConfig& config, Precision weights_in) : config_(config), weights_in_(weights_in) {
  const auto activation = [&](uint32_t cols) { return reserve_tensor(arena, {1, cols}, "activations"); };
  x_ = activation(config.dim);
  normed_ = activation(config.dim);
  mean_ = activation(1);
  rstd_ = activation(1);
  qkv_ = activation(config.qkv_width());
  attention_ = activation(config.heads * config.head_width());
  activated_ = activation(config.ffn_dim);
}

void Decoder::norm(Ops& ops, const ModelWeights& weights, const std::string& name) {
  const Program::Scope scope(ops.program, "norm");
  const Tensor weight = weights[name + ".weight"], bias = weights.find(name + ".bias");
  if (config_.norm == NormKind::layernorm) layernorm_forward(ops, normed_, mean_, rstd_, x_, weight, bias, config_.norm_eps);
  else rmsnorm_forward(ops, normed_, rstd_, x_, weight, config_.norm_eps);
}

void Decoder::block(Ops& ops, uint32_t layer, const ModelWeights& weights, Tensor cache, ConstTensor position) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  const auto matrix = [&](const char* name) { return weights.operand(prefix + name + ".weight", weights_in_); };
  const auto bias = [&](const char* name) { return weights.find(prefix + name + ".bias"); };
  const AttentionShape shape = attention_shape(config_, 1, config_.context);
  norm(ops, weights, prefix + "norm1");
  {
    const Program::Scope scope(ops.program, "matmul");
    const Rotary rotary{.cos_sin_table = weights.cos_sin_table(), .context = config_.context, .rotary_heads = config_.heads + config_.kv_heads};
    const bool rotates = static_cast<bool>(rotary.cos_sin_table);
    matvec(ops, qkv_, matrix("qkv"), normed_,
           {.bias = bias("qkv"),
            .nonlinearity = rotates ? Nonlinearity::rotary : Nonlinearity::none,
            .rotary = rotates ? rotary : Rotary{},
            .position = rotates ? position : ConstTensor()});
  }
  {
    const Program::Scope scope(ops.program, "attention");
    append_to_cache(ops, cache, qkv_, position, shape);
    cached_attention(ops, attention_, qkv_, cache, position, shape);
  }
  const Program::Scope scope(ops.program, "matmul");
  matvec(ops, x_, matrix("proj"), attention_, {.bias = bias("proj"), .addend = x_});
  norm(ops, weights, prefix + "norm2");
  const bool gated = config_.mlp == MlpKind::swiglu;
  const char* const up = gated ? "gate_up" : "fc";
  matvec(ops, activated_, matrix(up), normed_, {.bias = bias(up), .nonlinearity = gated ? Nonlinearity::swiglu : Nonlinearity::gelu});
  matvec(ops, x_, matrix("out"), activated_, {.bias = bias("out"), .addend = x_});
}

void Decoder::forward(Ops& ops, const ModelWeights& weights, const KeyValueCache& cache, ConstTensor token, ConstTensor position) {
  const Program::Scope pass(ops.program, "decode");
  embedding_forward(ops, x_, token, weights["wte.weight"], weights.find("wpe.weight"), config_.context, position);
  for (uint32_t layer = 0; layer < config_.layers; ++layer) block(ops, layer, weights, cache.layers[layer], position);
  norm(ops, weights, "norm");
}

}  // namespace lapilli
