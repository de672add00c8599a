#include "model/attention/attention.h"

#include <cmath>

#include "model/attention/attention_tuning.h"
#include "model/matmul/matmul_kernel.h"
#include "shaders/attention/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kTileWorkgroup = 256;  // tiled class, as in shaders/attention/attention_tile.glsl

// The kernel of a pass: the caller's choice, a measured choice, or the default for device and precision.
AttentionKernel kernel_of(Ops& ops, const AttentionShape& s, AttentionPass pass, DType memory) {
  if (s.kernel) return *s.kernel;
  const bool coopmat = has_coopmat_attention(ops.caps(), ops.precision, s.head_width);
  const KernelClass default_class = s.force.value_or(coopmat ? KernelClass::coopmat : ops.caps().kernel_class);
  const AttentionKernel default_kernel = attention_kernel(ops.caps(), ops.precision, s.head_width, pass, default_class);
  return ops.tuner == nullptr || s.force
             ? default_kernel
             : tune_attention(*ops.tuner, s, pass, ops.precision, memory, default_kernel, attention_forward, attention_backward);
}

// The memory arguments of a dispatch.
struct Memory {
  ConstTensor a, b, c;  // SPEC_A_TYPE, SPEC_B_TYPE, SPEC_C_TYPE; b may be empty
  ConstTensor cos_sin_table;    // f32, or empty: SPEC_ROTARY
};

void check_memory(const Ops& ops, const AttentionShape& s, const AttentionKernel& kernel, const Memory& memory) {
  const bool coopmat = kernel.kernel_class == KernelClass::coopmat;
  const DType operand_type = ops.precision == Precision::f16 ? DType::f16 : DType::bf16;
  for (const ConstTensor& each : {memory.a, memory.b, memory.c}) {
    if (!each || each.dtype() == DType::f32) continue;
    CHECK(coopmat && each.dtype() == operand_type, "attention in {} of {} does not support tensors of this 16-bit type", to_string(ops.precision),
          s.head_width);
    CHECK(s.head_width % 2 == 0, "heads of {} begin within a word", s.head_width);
  }
}

void check_shape(const AttentionShape& s, const ConstTensor& qkv, const ConstTensor& document_start) {
  const uint64_t tokens = uint64_t{s.batch} * s.context, width = uint64_t{s.heads + 2 * s.kv_heads} * s.head_width;
  CHECK(s.kv_heads > 0 && s.heads % s.kv_heads == 0, "{} query heads on {} key/value heads", s.heads, s.kv_heads);
  CHECK(s.head_width >= 1 && s.head_width <= kMaxHeadWidth, "head width {}", s.head_width);
  CHECK(qkv.rows() == tokens && qkv.cols() == width, "qkv {} for {} tokens of {} elements", qkv.shape().to_string(), tokens, width);
  CHECK(tokens * width <= UINT32_MAX, "{} elements of qkv", tokens * width);  // kernels index with 32 bits
  CHECK(!document_start || document_start.elements() == tokens, "document_start {}", document_start.shape().to_string());
}

// FLOPs of dot products over E elements for each (query, key) pair within the causal mask.
Cost cost_of(const AttentionShape& s, double products, double bytes) {
  const double pairs = 0.5 * s.context * (s.context + 1.0) * s.batch * s.heads;
  return {.flops = 2 * products * pairs * s.head_width, .bytes = bytes};
}

bool starts_at(uint64_t bytes, const Memory& memory) {
  const auto starts = [&](const ConstTensor& tensor) { return !tensor || tensor.slice().buffer_offset_bytes() % bytes == 0; };
  return starts(memory.a) && starts(memory.b) && starts(memory.c) && starts(memory.cos_sin_table);
}

SpecConstants coopmat_constants(const DeviceCaps& caps, Precision precision, const AttentionShape& s, const AttentionKernel& config,
                                const Memory& memory) {
  const MatrixShape shape = matrix_shape(caps, precision);
  const bool aligned = s.head_width % 8 == 0 && starts_at(16, memory);
  return {{args::SPEC_HEAD_WIDTH, s.head_width},
          {args::SPEC_TILE_ROWS, config.block_m},
          {args::SPEC_TILE_COLS, config.block_n},
          {args::SPEC_SUBGROUPS_M, config.subgroups_m},
          {args::SPEC_VARIANT, config.block_m_shared ? 1U : 0U},
          {args::SPEC_FRAGMENT_ROWS, shape.rows},
          {args::SPEC_FRAGMENT_COLS, shape.cols},
          {args::SPEC_FRAGMENT_DEPTH, shape.depth},
          {args::SPEC_ALIGNED, aligned ? 1U : 0U},
          type_constant(args::SPEC_A_TYPE, memory.a),
          type_constant(args::SPEC_B_TYPE, memory.b),
          type_constant(args::SPEC_C_TYPE, memory.c)};
}

// Records the kernel form in `config`: `heads` heads of T positions each.
template <typename Args>
void dispatch(Ops& ops, const std::string& name, const Args& args, const AttentionShape& s, const AttentionKernel& config, uint32_t heads,
              const Memory& memory, Cost cost) {
  const uint32_t subgroup = ops.caps().subgroup_size;
  check_memory(ops, s, config, memory);
  cost.matrices = config.kernel_class == KernelClass::coopmat;
  CHECK(config.block_n != 0, "{} has too little shared memory or too few lanes for attention with head width {}", ops.caps().name, s.head_width);
  const auto record = [&](const std::string& form, uint32_t workgroup, uint32_t owned_rows, SpecConstants constants) {
    if (memory.cos_sin_table) constants.push_back({args::SPEC_ROTARY, 1});
    ops.program.dispatch(ops.kernel(name + form, workgroup, constants), args, uint64_t{s.batch} * heads * ceil_div(s.context, owned_rows), cost);
  };
  if (config.kernel_class == KernelClass::cpu) {
    const bool pairs = s.head_width % 2 == 0 && starts_at(8, memory);
    record(pairs && ops.caps().fast_64bit_loads ? "_cpu_load64" : "_cpu", subgroup, config.block_m * subgroup,
           {{args::SPEC_HEAD_WIDTH, s.head_width},
            {args::SPEC_TILE_ROWS, config.block_m},
            {args::SPEC_TILE_COLS, config.block_n},
            {args::SPEC_ALIGNED, pairs ? 1U : 0U}});
  } else if (config.kernel_class == KernelClass::tiled) {
    record("_tiled", kTileWorkgroup, config.block_m, {{args::SPEC_HEAD_WIDTH, s.head_width}});
  } else {
    record(std::string("_coopmat_") + to_string(ops.precision), config.subgroups_m * config.subgroups_n * subgroup, config.block_m,
           coopmat_constants(ops.caps(), ops.precision, s, config, memory));
  }
}

// The columns of d_qkv that each backward kernel writes: neither waits for the other.
constexpr uint32_t kKeysAndValues = 1, kQueries = 2;

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
  const auto bytes = static_cast<double>(qkv.size_bytes() + out.size_bytes());
  const AttentionKernel config = kernel_of(ops, s, AttentionPass::forward, qkv.dtype());
  dispatch(ops, "attention", arguments, s, config, s.heads, {.a = qkv, .b = {}, .c = out, .cos_sin_table = {}}, cost_of(s, 2, bytes));
}

void attention_backward(Ops& ops, Tensor d_qkv, Tensor delta, ConstTensor d_out, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                        ConstTensor document_start, ConstTensor cos_sin_table, const AttentionShape& s) {
  check_shape(s, qkv, document_start);
  CHECK(d_qkv.elements() == qkv.elements(), "d_qkv {} for qkv {}", d_qkv.shape().to_string(), qkv.shape().to_string());
  CHECK(out.elements() == uint64_t{qkv.rows()} * s.heads * s.head_width && d_out.elements() == out.elements(), "d_out {}, out {}",
        d_out.shape().to_string(), out.shape().to_string());
  CHECK(!cos_sin_table || (cos_sin_table.dtype() == DType::f32 && cos_sin_table.rows() >= s.context && cos_sin_table.cols() == s.head_width &&
                           s.head_width % 2 == 0),
        "cos_sin_table {}", cos_sin_table.shape().to_string());
  const uint64_t rows = uint64_t{s.batch} * s.heads * s.context;
  CHECK(lse.elements() == rows && delta.elements() == rows, "lse {}, delta {}", lse.shape().to_string(), delta.shape().to_string());

  const AttentionKernel config = kernel_of(ops, s, AttentionPass::backward, qkv.dtype());
  const uint32_t subgroup = ops.caps().subgroup_size;
  const uint32_t workgroup = config.kernel_class == KernelClass::cpu ? subgroup : std::max(256U, subgroup);
  const args::AttentionDeltaArgs delta_arguments{
      .delta = delta, .d_attended = d_out, .attended = out, .batch = s.batch, .context = s.context, .heads = s.heads};
  const Kernel& delta_kernel =
      ops.kernel("attention_delta", workgroup,
                 {{args::SPEC_HEAD_WIDTH, s.head_width}, type_constant(args::SPEC_A_TYPE, d_out), type_constant(args::SPEC_B_TYPE, out)});
  ops.program.dispatch(delta_kernel, delta_arguments, ceil_div(rows, workgroup / subgroup),
                       {.flops = 2.0 * static_cast<double>(out.elements()), .bytes = static_cast<double>(d_out.size_bytes() + out.size_bytes())});

  // 16-bit elements are written in words of two, and one word must not be of both.
  const bool separate = size_bytes(d_qkv.dtype()) == 4 || uint64_t{s.heads} * s.head_width % 2 == 0;
  args::AttentionBackwardArgs arguments{.d_qkv = separate ? d_qkv.part(kKeysAndValues) : d_qkv,
                                        .qkv = qkv,
                                        .d_attended = d_out,
                                        .lse = lse,
                                        .delta = delta,
                                        .document_start = document_start,
                                        .cos_sin_table = cos_sin_table,
                                        .batch = s.batch,
                                        .context = s.context,
                                        .heads = s.heads,
                                        .kv_heads = s.kv_heads,
                                        .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.head_width)))};
  const Memory memory{.a = qkv, .b = d_out, .c = d_qkv, .cos_sin_table = cos_sin_table};
  const auto read = static_cast<double>(qkv.size_bytes() + d_out.size_bytes());
  const double written = static_cast<double>(d_qkv.size_bytes()) / (s.heads + 2.0 * s.kv_heads);  // of a head
  dispatch(ops, "attention_d_kv", arguments, s, config, s.kv_heads, memory, cost_of(s, 4, read + 2 * s.kv_heads * written));
  if (separate) arguments.d_qkv = d_qkv.part(kQueries);
  dispatch(ops, "attention_d_q", arguments, s, config, s.heads, memory, cost_of(s, 3, read + s.heads * written));
}

}  // namespace lapilli
