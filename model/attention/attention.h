#pragma once
// Causal multi-head attention with grouped keys and values; memory O(T) per head (online softmax), no float atomics.
//
//   score(i, j) = q_i . k_j / sqrt(E)  for document_start(i) <= j <= i (same sequence; query head h reads kv head h / (H/G))
//   out_i = sum_j softmax_j(score(i, j)) v_j,   lse_i = log sum_j exp(score(i, j))  (nats)
//
// Deterministic: backward has one kernel for rows of d_k and d_v and one for rows of d_q, each with a fixed summation
// order. A NaN reaches exactly the rows that attend to it.
//
// Everything is f32, unless Ops::precision is f16 or bf16 and has_coopmat_attention() is true (and, with f32 memory, no
// measurement found the f32 kernels faster). Then the GEMM operands (q, k, v, d_out, the probabilities and their
// gradients) are rounded to that type once each, sums and softmax stay f32, and each of qkv, out, d_out and d_qkv may
// be f32 or that type in memory (REQUIRES then: an even head width). lse and delta are always f32.

#include <optional>
#include <string>
#include <vector>

#include "model/ops/ops.h"

namespace lapilli {

enum class AttentionPass { forward, backward };

constexpr uint32_t kMaxHeadWidth = 256;

// The kernel of a pass and its tile config.
struct AttentionKernel {
  KernelClass kernel_class;
  uint32_t block_m = 0, block_n = 0;    // rows held by a lane (cpu) or a workgroup; rows of the other side per iteration
  uint32_t subgroups_m = 0, subgroups_n = 0;  // coopmat: grid of subgroups
  bool block_m_shared = false;      // coopmat: the held rows stay in shared memory instead of fragments
  std::string to_string() const;  // "coopmat 64x32 shared"
};

struct AttentionShape {
  uint32_t batch;       // B
  uint32_t context;     // T
  uint32_t heads;       // H, a multiple of G
  uint32_t kv_heads;    // G
  uint32_t head_width;  // E, 1..kMaxHeadWidth
  std::optional<KernelClass> force = std::nullopt;       // overrides the default and any measurement (tests)
  std::optional<AttentionKernel> kernel = std::nullopt;  // the same, with the complete tile config
};

// Whether the device has a cooperative-matrix kernel for this head width (at most 128). Otherwise attention uses the
// f32 kernels, which accept f32 memory only.
bool has_coopmat_attention(const DeviceCaps& caps, Precision precision, uint32_t head_width);
// The default kernel of a class for a head width; and the candidates to measure, the default first.
AttentionKernel attention_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, KernelClass kernel_class);
std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& default_kernel);

// `qkv` is [N, (H + 2G)E], N = B*T: a row holds the H query heads, then G key heads, then G value heads.
// `document_start` is u32 [N] or empty: the first position, within its sequence, of the document that the token is in; keys
// before it are masked. REQUIRES: document_start[b*T + t] <= t, and not decreasing with t (documents are contiguous).
void attention_forward(Ops& ops, Tensor out /*[N, H*E]*/, Tensor lse /*[B*H*T]*/, ConstTensor qkv, ConstTensor document_start,
                       const AttentionShape& shape);

// Overwrites all of `d_qkv`; `delta` is scratch. `out` and `lse` come from attention_forward. `cos_sin_table`, if not empty, is
// the cos/sin table that rotated q and k before attention (model/ops/rope.h: [>=T, E]): their gradients are rotated
// back.
void attention_backward(Ops& ops, Tensor d_qkv /*[N, (H+2G)*E]*/, Tensor delta /*[B*H*T]*/, ConstTensor d_out /*[N, H*E]*/,
                        ConstTensor qkv, ConstTensor out, ConstTensor lse, ConstTensor document_start, ConstTensor cos_sin_table, const AttentionShape& shape);

}  // namespace lapilli
