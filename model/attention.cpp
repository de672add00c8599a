#include "model/attention.h"

#include <cmath>

namespace lapilli {

namespace {

constexpr uint32_t kTile = 64;          // tiled class: queries and keys of a workgroup's block, as in shaders/tile.glsl
constexpr uint32_t kTileWorkgroup = 256;

// Scalar class: what a lane owns, and how many rows of the other side it meets at a time.
struct LaneTile {
  uint32_t owned, met;
};

LaneTile forward_tile(uint32_t head_width) { return head_width <= 64 ? LaneTile{2, 8} : LaneTile{1, 8}; }
LaneTile backward_tile(uint32_t head_width) { return head_width <= 64 ? LaneTile{2, 4} : LaneTile{1, 4}; }

KernelClass class_of(const Ops& ops, const AttentionShape& shape) { return shape.force.value_or(ops.caps().kernel_class); }

void check_shape(const AttentionShape& s, const ConstTensor& qkv, const ConstTensor& document_start) {
  const uint64_t tokens = uint64_t{s.batch} * s.context, width = uint64_t{s.heads + 2 * s.kv_heads} * s.head_width;
  CHECK(s.kv_heads > 0 && s.heads % s.kv_heads == 0, "{} query heads on {} key/value heads", s.heads, s.kv_heads);
  CHECK(s.head_width >= 1 && s.head_width <= 256, "head width {}", s.head_width);
  CHECK(qkv.rows() == tokens && qkv.cols() == width, "qkv {} for {} tokens of {} elements", qkv.shape().to_string(), tokens, width);
  CHECK(tokens * width <= UINT32_MAX, "{} elements of qkv", tokens * width);  // kernels index with 32 bits
  CHECK(!document_start || document_start.elements() == tokens, "document_start {}", document_start.shape().to_string());
}

// Products of E multiply-adds per (query, key) pair that the causal mask leaves.
Cost cost_of(const AttentionShape& s, double products, double rows_read_and_written) {
  const double pairs = 0.5 * s.context * (s.context + 1.0) * s.batch * s.heads;
  const double tokens = static_cast<double>(s.batch) * s.context;
  return {.flops = 2 * products * pairs * s.head_width, .bytes = 4 * tokens * rows_read_and_written * s.head_width};
}

// Records a kernel of the class in question: `heads` heads of T positions each, tiled.
template <typename Args>
void dispatch(Ops& ops, const std::string& name, const Args& args, const AttentionShape& s, uint32_t heads, LaneTile tile, Cost cost) {
  const uint32_t subgroup = ops.caps().subgroup_size;
  const uint64_t sequences = uint64_t{s.batch} * heads;
  if (class_of(ops, s) == KernelClass::scalar) {
    const Kernel& kernel = ops.kernel(name + "_scalar", subgroup,
                                      {{args::SPEC_HEAD_WIDTH, s.head_width},
                                       {args::SPEC_TILE_ROWS, tile.owned},
                                       {args::SPEC_TILE_COLS, std::min(tile.met, subgroup)}});
    ops.program.dispatch(kernel, args, sequences * ceil_div(s.context, uint64_t{tile.owned} * subgroup), cost);
  } else {
    const Kernel& kernel = ops.kernel(name + "_tiled", kTileWorkgroup, {{args::SPEC_HEAD_WIDTH, s.head_width}});
    ops.program.dispatch(kernel, args, sequences * ceil_div(s.context, kTile), cost);
  }
}

}  // namespace

void attention_forward(Ops& ops, Tensor out, Tensor lse, ConstTensor qkv, ConstTensor document_start, const AttentionShape& s) {
  check_shape(s, qkv, document_start);
  CHECK(out.rows() == qkv.rows() && out.cols() == s.heads * s.head_width, "out {}", out.shape().to_string());
  CHECK(lse.elements() == uint64_t{s.batch} * s.heads * s.context, "lse {}", lse.shape().to_string());
  const args::AttentionArgs arguments{.attended = out,
                                      .lse = lse,
                                      .qkv = qkv,
                                      .document_start = document_start,
                                      .batch = s.batch,
                                      .context = s.context,
                                      .heads = s.heads,
                                      .kv_heads = s.kv_heads,
                                      .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_width)))};
  dispatch(ops, "attention", arguments, s, s.heads, forward_tile(s.head_width), cost_of(s, 2, 2.0 * (s.heads + s.kv_heads)));
}

void attention_backward(Ops& ops, Tensor d_qkv, Tensor delta, ConstTensor d_out, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                        ConstTensor document_start, const AttentionShape& s) {
  check_shape(s, qkv, document_start);
  CHECK(d_qkv.elements() == qkv.elements(), "d_qkv {} for qkv {}", d_qkv.shape().to_string(), qkv.shape().to_string());
  CHECK(out.elements() == uint64_t{qkv.rows()} * s.heads * s.head_width && d_out.elements() == out.elements(), "d_out {}, out {}",
        d_out.shape().to_string(), out.shape().to_string());
  const uint64_t rows = uint64_t{s.batch} * s.heads * s.context;
  CHECK(lse.elements() == rows && delta.elements() == rows, "lse {}, delta {}", lse.shape().to_string(), delta.shape().to_string());

  const uint32_t subgroup = ops.caps().subgroup_size;
  const uint32_t workgroup = class_of(ops, s) == KernelClass::scalar ? subgroup : std::max(256U, subgroup);
  const args::AttentionDeltaArgs delta_arguments{
      .delta = delta, .d_attended = d_out, .attended = out, .batch = s.batch, .context = s.context, .heads = s.heads};
  const double elements = static_cast<double>(out.elements());
  ops.program.dispatch(ops.kernel("attention_delta", workgroup, {{args::SPEC_HEAD_WIDTH, s.head_width}}), delta_arguments,
                       ceil_div(rows, workgroup / subgroup), {.flops = 2 * elements, .bytes = 8 * elements});

  const args::AttentionBackwardArgs arguments{.d_qkv = d_qkv,
                                              .qkv = qkv,
                                              .d_attended = d_out,
                                              .lse = lse,
                                              .delta = delta,
                                              .document_start = document_start,
                                              .batch = s.batch,
                                              .context = s.context,
                                              .heads = s.heads,
                                              .kv_heads = s.kv_heads,
                                              .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_width)))};
  dispatch(ops, "attention_d_kv", arguments, s, s.kv_heads, backward_tile(s.head_width), cost_of(s, 4, 2.0 * s.heads + 4 * s.kv_heads));
  dispatch(ops, "attention_d_q", arguments, s, s.heads, backward_tile(s.head_width), cost_of(s, 3, 3.0 * s.heads + 2 * s.kv_heads));
}

}  // namespace lapilli
