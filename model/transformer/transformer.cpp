#include "model/transformer/transformer.h"

#include <algorithm>

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "model/ops/activation.h"
#include "model/ops/elementwise.h"
#include "model/ops/norm.h"

namespace lapilli {

DType Transformer::storage(Activation kind) const {
  const auto operand_type = [&](bool in_words) { return in_words ? storage_type(precision_) : DType::f32; };  // see shaders/common/real.glsl
  switch (kind) {
    case Activation::normed: return operand_type(config_.dim % 2 == 0);
    case Activation::attention: return operand_type(attention_in_16_bits_);
    case Activation::feed_forward: return operand_type(config_.ffn_dim % 2 == 0);
    case Activation::dropped: return operand_type(config_.dim % 2 == 0 && uint64_t{tokens()} * config_.dim % 8 == 0);
  }
  return DType::f32;
}

Transformer::Transformer(Arena& arena, const DeviceCaps& caps, const ModelConfig& config, uint32_t batch, uint32_t context, Purpose purpose,
                         bool recompute, Precision precision)
    : config_(config),
      batch_(batch),
      context_(context),
      recompute_(recompute),
      precision_(precision),
      attention_in_16_bits_(has_coopmat_attention(caps, precision, config.head_width()) && config.head_width() % 4 == 0),
      attention_shape_(attention_shape(config, batch, context)) {
  const uint32_t n = tokens(), d = config_.dim;
  const auto activation = [&](Shape shape, DType dtype = DType::f32) { return reserve_tensor(arena, shape, "activations", dtype); };
  reserve_blocks(arena, purpose, recompute);
  mean_ = activation({n});
  rstd_ = activation({n});
  normed_ = activation({n, d}, storage(Activation::normed));
  if (purpose == Purpose::evaluation) return;

  const uint32_t wide = config_.mlp == MlpKind::swiglu ? 2 * config_.ffn_dim : config_.ffn_dim;
  const auto gradient = [&](Shape shape, DType dtype = DType::f32) { return reserve_tensor(arena, shape, "activation gradients", dtype); };
  d_residual_ = gradient({n, d});
  d_hidden_ = gradient({n, d});
  d_normed_ = Tensor(d_hidden_.slice(), {n, d}, storage(Activation::normed));
  if (config_.dropout > 0) d_dropped_ = gradient({n, d}, storage(Activation::dropped));
  {
    // The lifetimes of the feed-forward's and the attention's gradients do not overlap.
    Arena::AliasScope alias_scope(arena);
    d_wide_ = gradient({n, wide}, storage(Activation::feed_forward));
    alias_scope.next();
    d_qkv_ = gradient({n, config_.qkv_width()}, storage(Activation::attention));
    d_attention_ = gradient({n, config_.heads * config_.head_width()}, storage(Activation::attention));
    delta_ = gradient({batch_ * config_.heads * context_});
  }
  const uint32_t widest = std::max({wide, config_.qkv_width(), d});
  scratch_ =
      reserve_tensor(arena, {static_cast<uint32_t>(std::max(norm_scratch_floats(n, d), bias_scratch_floats(n, widest)))}, "activation gradients");
}

void Transformer::reserve_blocks(Arena& arena, Purpose purpose, bool recompute) {
  const uint32_t n = tokens(), d = config_.dim, h_e = config_.heads * config_.head_width();
  const uint32_t wide = config_.mlp == MlpKind::swiglu ? 2 * config_.ffn_dim : config_.ffn_dim;
  const bool training = purpose == Purpose::training;
  const auto activation = [&](Shape shape, DType dtype = DType::f32) { return reserve_tensor(arena, shape, "activations", dtype); };
  const DType normed = storage(Activation::normed), attention = storage(Activation::attention), feed_forward = storage(Activation::feed_forward);
  blocks_.resize(config_.layers);
  for (uint32_t l = 0; l < config_.layers; ++l) {
    Block& block = blocks_[l];
    const bool own = training || l == 0;  // else: the first block's memory
    const Block& first = blocks_[0];
    const bool own_cheap = own && (!recompute || l == 0);  // shared by all blocks with recompute
    block.input = training || l < 2 ? activation({n, d}) : blocks_[l % 2].input;
    block.mean1 = own ? activation({n}) : first.mean1;
    block.rstd1 = own ? activation({n}) : first.rstd1;
    block.normed1 = own_cheap ? activation({n, d}, normed) : first.normed1;
    block.qkv = own ? activation({n, config_.qkv_width()}, attention) : first.qkv;
    block.attention = own ? activation({n, h_e}, attention) : first.attention;
    block.lse = own ? activation({batch_ * config_.heads * context_}) : first.lse;
    block.middle = own ? activation({n, d}) : first.middle;
    block.mean2 = own ? activation({n}) : first.mean2;
    block.rstd2 = own ? activation({n}) : first.rstd2;
    block.normed2 = own_cheap ? activation({n, d}, normed) : first.normed2;
    if (training || config_.mlp == MlpKind::swiglu) block.hidden = own ? activation({n, wide}, feed_forward) : first.hidden;
    block.activated = own_cheap ? activation({n, config_.ffn_dim}, feed_forward) : first.activated;
  }
  last_ = activation({n, d});
}

Transformer::BlockParameters Transformer::block_parameters(const ParameterArray& array, uint32_t layer) {
  const auto get = [&](const char* name) { return array.find(fmt::format("layers.{}.{}", layer, name)); };
  BlockParameters p{.norm1 = get("norm1.weight"),
                    .norm1_bias = get("norm1.bias"),
                    .qkv = get("qkv.weight"),
                    .qkv_bias = get("qkv.bias"),
                    .proj = get("proj.weight"),
                    .proj_bias = get("proj.bias"),
                    .norm2 = get("norm2.weight"),
                    .norm2_bias = get("norm2.bias"),
                    .up = get("fc.weight"),
                    .up_bias = get("fc.bias"),
                    .out = get("out.weight"),
                    .out_bias = get("out.bias")};
  if (!p.up) {
    p.up = get("gate_up.weight");
    p.up_bias = get("gate_up.bias");
  }
  return p;
}

Transformer::BlockParameters Transformer::block_weights(const ModelWeights& weights, uint32_t layer) const {
  BlockParameters w = block_parameters(weights.parameters(), layer);
  const auto operand = [&](const char* name) { return weights.operand(fmt::format("layers.{}.{}", layer, name), precision_); };
  w.qkv = operand("qkv.weight");
  w.proj = operand("proj.weight");
  w.up = operand(config_.mlp == MlpKind::swiglu ? "gate_up.weight" : "fc.weight");
  w.out = operand("out.weight");
  return w;
}

// ---- shared by forward and backward ----

void Transformer::norm_forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias) const {
  const Program::Scope scope(ops.program, "norm");
  switch (config_.norm) {
    case NormKind::layernorm: return layernorm_forward(ops, y, mean, rstd, x, weight, bias, config_.norm_eps);
    case NormKind::rmsnorm: return rmsnorm_forward(ops, y, rstd, x, weight, config_.norm_eps);
  }
}

void Transformer::norm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x, ConstTensor mean,
                                ConstTensor rstd, ConstTensor weight, Into into_d_x, Into into) const {
  const Program::Scope scope(ops.program, "norm");
  switch (config_.norm) {
    case NormKind::layernorm: return layernorm_backward(ops, d_x, d_weight, d_bias, scratch_, d_y, x, mean, rstd, weight, into_d_x, into);
    case NormKind::rmsnorm: return rmsnorm_backward(ops, d_x, d_weight, scratch_, d_y, x, rstd, weight, into_d_x, into);
  }
}

void Transformer::feed_forward(Ops& ops, Tensor activated, Tensor hidden, ConstTensor x, ConstTensor w, ConstTensor bias) const {
  const Program::Scope scope(ops.program, "matmul");
  const Nonlinearity through = config_.mlp == MlpKind::swiglu ? Nonlinearity::swiglu : Nonlinearity::gelu;
  matmul_nt(ops, activated, x, w, Into::overwrite, {.bias = bias, .nonlinearity = through, .kept = hidden});
}

void Transformer::activate(Ops& ops, Tensor activated, ConstTensor hidden) const {
  const Program::Scope scope(ops.program, "activation");
  if (config_.mlp == MlpKind::swiglu) {
    swiglu_forward(ops, activated, hidden);
  } else {
    gelu_forward(ops, activated, hidden);
  }
}

void Transformer::project(Ops& ops, Tensor y, ConstTensor x, ConstTensor w, ConstTensor bias, ConstTensor residual, ConstTensor random_state,
                          uint32_t stream) const {
  const Program::Scope scope(ops.program, "matmul");
  if (!drops(random_state)) {
    matmul_nt(ops, y, x, w, Into::overwrite, {.bias = bias, .addend = residual});
    return;
  }
  matmul_nt(ops, y, x, w, Into::overwrite, {.bias = bias});
  dropout_forward(ops, y, y, residual, random_state, stream, config_.dropout);
}

void Transformer::linear_backward(Ops& ops, Tensor d_x, Tensor d_w, Tensor d_bias, ConstTensor d_y, ConstTensor x, ConstTensor w, Into into,
                                  const MatmulOptions& of_d_x) const {
  {
    const Program::Scope scope(ops.program, "matmul");
    matmul_nn(ops, d_x, d_y, w, Into::overwrite, of_d_x);
    matmul_tn(ops, d_w, d_y, x, into);
  }
  if (!d_bias) return;
  const Program::Scope scope(ops.program, "bias");
  bias_backward(ops, d_bias, scratch_, d_y, into);
}

ConstTensor Transformer::dropout_backward(Ops& ops, ConstTensor d_y, ConstTensor random_state, uint32_t stream) const {
  if (!drops(random_state)) return d_y;
  const Program::Scope scope(ops.program, "dropout");
  lapilli::dropout_backward(ops, d_dropped_, d_y, random_state, stream, config_.dropout);
  return d_dropped_;
}

}  // namespace lapilli
