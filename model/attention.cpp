#include "model/attention.h"

#include <cmath>

#include "model/matmul.h"

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

// Cooperative matrices: how the workgroups of shaders/attention_coopmat.glsl are cut.
struct CoopmatTile {
  uint32_t rows = 0, cols = 0;    // owned; met at a time. 0: the device has too little of something
  uint32_t down = 0, across = 0;  // its subgroups
  bool owned_shared = false;      // kOwnedShared
};
constexpr uint32_t kWidestCoopmat = 128;  // beyond it, what a subgroup holds of the owned rows no longer fits its registers

// Shared memory of it, with some to spare for what there is one of a row.
uint32_t shared_bytes(const CoopmatTile& tile, uint32_t met_tiles, uint32_t wide) {
  const uint32_t rows = met_tiles * (tile.cols + (tile.owned_shared ? tile.rows : 0));
  return 16 * (rows * (wide / 8 + 1) + tile.rows * (tile.cols / 4 + 1)) + 1024;
}

// `backward`: two tiles are met at a time, and two sets of sums held. Wide heads then take twice the subgroups, each with half of the
// columns; waves of 64 spread their sums over more lanes and need not.
CoopmatTile coopmat_tile(const DeviceCaps& caps, Precision precision, uint32_t head_width, bool backward) {
  const MatrixShape shape = matrix_shape(caps, precision);
  const uint32_t longest = std::max({16U, shape.cols, shape.depth});
  const bool split = backward && head_width > 64 && caps.subgroup_size <= 32 && longest == 16;
  // A lane goes through 32 scores of a row, or 16: with fewer lanes there are fewer columns.
  const uint32_t cols = std::min(backward && head_width > 64 ? 32U : 64U, std::max(2 * caps.subgroup_size, longest) * (split ? 2 : 1));
  // A fragment's rows to a subgroup: more would not fit its registers, and the statistics of a row stay within one.
  const uint32_t rows = std::max(64U, 2 * shape.rows);
  CoopmatTile tile{.rows = rows, .cols = cols, .down = rows / shape.rows, .across = split ? 2U : 1U};
  const auto wide = static_cast<uint32_t>(round_up(head_width, longest * tile.across));
  const uint32_t met_tiles = backward ? 2 : 1;
  const auto fits = [&] { return shared_bytes(tile, met_tiles, wide) <= caps.max_shared_bytes; };
  if (caps.subgroup_size > 64 || tile.down * tile.across * caps.subgroup_size > caps.max_workgroup_invocations) return {};
  if (!fits()) tile.cols = std::min(tile.cols, 32U);
  if (!fits()) return {};
  if (met_tiles * wide > 64) {  // many fragments to hold
    tile.owned_shared = true;
    tile.owned_shared = fits();
  }
  return tile;
}

KernelClass class_of(const Ops& ops, const AttentionShape& shape) {
  const bool coopmat = attends_with_matrices(ops.caps(), ops.precision, shape.head_width);
  const KernelClass own = ops.caps().kernel_class;
  return shape.force.value_or(coopmat ? KernelClass::coopmat : own);
}

// What a tensor is made of, for SPEC_*_TYPE.
uint32_t real_type(DType dtype) {
  CHECK(dtype != DType::u32, "attention of integers");
  return dtype == DType::f32 ? args::kF32 : dtype == DType::f16 ? args::kF16 : args::kBF16;
}

// What the kernels of a dispatch are told of memory.
struct Memory {
  ConstTensor a, b, c;  // SPEC_A_TYPE, SPEC_B_TYPE, SPEC_C_TYPE; b may be empty
};

void check_memory(const Ops& ops, const AttentionShape& s, const Memory& memory) {
  const bool coopmat = class_of(ops, s) == KernelClass::coopmat;
  const DType own = ops.precision == Precision::f16 ? DType::f16 : DType::bf16;
  for (const ConstTensor& each : {memory.a, memory.b, memory.c}) {
    if (!each || each.dtype() == DType::f32) continue;
    CHECK(coopmat && each.dtype() == own, "attention in {} of {} does not take a tensor of another 16-bit type, or any", to_string(ops.precision),
          s.head_width);
    CHECK(s.head_width % 2 == 0, "heads of {} begin within a word", s.head_width);
  }
}

void check_shape(const AttentionShape& s, const ConstTensor& qkv, const ConstTensor& document_start) {
  const uint64_t tokens = uint64_t{s.batch} * s.context, width = uint64_t{s.heads + 2 * s.kv_heads} * s.head_width;
  CHECK(s.kv_heads > 0 && s.heads % s.kv_heads == 0, "{} query heads on {} key/value heads", s.heads, s.kv_heads);
  CHECK(s.head_width >= 1 && s.head_width <= 256, "head width {}", s.head_width);
  CHECK(qkv.rows() == tokens && qkv.cols() == width, "qkv {} for {} tokens of {} elements", qkv.shape().to_string(), tokens, width);
  CHECK(tokens * width <= UINT32_MAX, "{} elements of qkv", tokens * width);  // kernels index with 32 bits
  CHECK(!document_start || document_start.elements() == tokens, "document_start {}", document_start.shape().to_string());
}

// Products of E multiply-adds per (query, key) pair that the causal mask leaves.
Cost cost_of(const AttentionShape& s, double products, double bytes) {
  const double pairs = 0.5 * s.context * (s.context + 1.0) * s.batch * s.heads;
  return {.flops = 2 * products * pairs * s.head_width, .bytes = bytes};
}

template <typename Args>
void dispatch_coopmat(Ops& ops, const std::string& name, const Args& args, const AttentionShape& s, uint64_t sequences, bool backward,
                      const Memory& memory, Cost cost) {
  const DeviceCaps& caps = ops.caps();
  const MatrixShape shape = matrix_shape(caps, ops.precision);
  const CoopmatTile tile = coopmat_tile(caps, ops.precision, s.head_width, backward);
  CHECK(tile.cols != 0, "{} has no room for attention of heads {} wide", caps.name, s.head_width);
  const auto at_16_bytes = [](const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 16 == 0; };
  const bool aligned = s.head_width % 8 == 0 && at_16_bytes(memory.a) && (!memory.b || at_16_bytes(memory.b)) && at_16_bytes(memory.c);
  const Kernel& kernel = ops.kernel(name + "_coopmat_" + to_string(ops.precision), tile.down * tile.across * caps.subgroup_size,
                                    {{args::SPEC_HEAD_WIDTH, s.head_width},
                                     {args::SPEC_TILE_ROWS, tile.rows},
                                     {args::SPEC_TILE_COLS, tile.cols},
                                     {args::SPEC_SUBGROUPS_DOWN, tile.down},
                                     {args::SPEC_VARIANT, tile.owned_shared ? 1U : 0U},
                                     {args::SPEC_FRAGMENT_ROWS, shape.rows},
                                     {args::SPEC_FRAGMENT_COLS, shape.cols},
                                     {args::SPEC_FRAGMENT_DEPTH, shape.depth},
                                     {args::SPEC_ALIGNED, aligned ? 1U : 0U},
                                     {args::SPEC_A_TYPE, real_type(memory.a.dtype())},
                                     {args::SPEC_B_TYPE, real_type(memory.b.dtype())},
                                     {args::SPEC_C_TYPE, real_type(memory.c.dtype())}});
  ops.program.dispatch(kernel, args, sequences * ceil_div(s.context, tile.rows), cost);
}

// Records a kernel of the class in question: `heads` heads of T positions each, tiled.
template <typename Args>
void dispatch(Ops& ops, const std::string& name, const Args& args, const AttentionShape& s, uint32_t heads, bool backward, const Memory& memory,
              Cost cost) {
  const uint32_t subgroup = ops.caps().subgroup_size;
  const uint64_t sequences = uint64_t{s.batch} * heads;
  const KernelClass kernel_class = class_of(ops, s);
  check_memory(ops, s, memory);
  if (kernel_class == KernelClass::scalar) {
    const LaneTile tile = backward ? backward_tile(s.head_width) : forward_tile(s.head_width);
    const Kernel& kernel = ops.kernel(name + "_scalar", subgroup,
                                      {{args::SPEC_HEAD_WIDTH, s.head_width},
                                       {args::SPEC_TILE_ROWS, tile.owned},
                                       {args::SPEC_TILE_COLS, std::min(tile.met, subgroup)}});
    ops.program.dispatch(kernel, args, sequences * ceil_div(s.context, uint64_t{tile.owned} * subgroup), cost);
  } else if (kernel_class == KernelClass::tiled) {
    const Kernel& kernel = ops.kernel(name + "_tiled", kTileWorkgroup, {{args::SPEC_HEAD_WIDTH, s.head_width}});
    ops.program.dispatch(kernel, args, sequences * ceil_div(s.context, kTile), cost);
  } else {
    dispatch_coopmat(ops, name, args, s, sequences, backward, memory, cost);
  }
}

}  // namespace

bool attends_with_matrices(const DeviceCaps& caps, Precision precision, uint32_t head_width) {
  return precision != Precision::f32 && multiplies(caps, precision) && has_shader(std::string("attention_coopmat_") + to_string(precision)) &&
         head_width <= kWidestCoopmat && coopmat_tile(caps, precision, head_width, false).cols != 0 &&
         coopmat_tile(caps, precision, head_width, true).cols != 0;
}

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
  const auto bytes = static_cast<double>(qkv.size_bytes() + out.size_bytes());
  dispatch(ops, "attention", arguments, s, s.heads, false, {.a = qkv, .b = {}, .c = out}, cost_of(s, 2, bytes));
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
  const Kernel& delta_kernel = ops.kernel("attention_delta", workgroup,
                                          {{args::SPEC_HEAD_WIDTH, s.head_width},
                                           {args::SPEC_A_TYPE, real_type(d_out.dtype())},
                                           {args::SPEC_B_TYPE, real_type(out.dtype())}});
  ops.program.dispatch(delta_kernel, delta_arguments, ceil_div(rows, workgroup / subgroup),
                       {.flops = 2.0 * static_cast<double>(out.elements()), .bytes = static_cast<double>(d_out.size_bytes() + out.size_bytes())});

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
  const Memory memory{.a = qkv, .b = d_out, .c = d_qkv};
  const auto read = static_cast<double>(qkv.size_bytes() + d_out.size_bytes());
  const double written = static_cast<double>(d_qkv.size_bytes()) / (s.heads + 2.0 * s.kv_heads);  // of a head
  dispatch(ops, "attention_d_kv", arguments, s, s.kv_heads, true, memory, cost_of(s, 4, read + 2 * s.kv_heads * written));
  dispatch(ops, "attention_d_q", arguments, s, s.heads, true, memory, cost_of(s, 3, read + s.heads * written));
}

}  // namespace lapilli
