#pragma once
// Causal multi-head attention with grouped keys and values, f32; memory O(T) per head (online softmax), no float atomics.
//
//   score(i, j) = q_i . k_j / sqrt(E)  for document_start(i) <= j <= i (same sequence; query head h reads kv head h / (H/G))
//   out_i = sum_j softmax_j(score(i, j)) v_j,   lse_i = log sum_j exp(score(i, j))  (nats)
//
// Deterministic: the backward has one kernel that owns rows of d_k and d_v and one that owns rows of d_q, each summing in a
// fixed order. A NaN reaches every row that may see it and no other.

#include <optional>

#include "model/ops.h"

namespace lapilli {

struct AttentionShape {
  uint32_t batch;       // B
  uint32_t context;     // T
  uint32_t heads;       // H, a multiple of G
  uint32_t kv_heads;    // G
  uint32_t head_width;  // E, 1..256
  std::optional<KernelClass> force = std::nullopt;  // instead of the device's own class (tests)
};

// `qkv` is [N, (H + 2G)E], N = B*T: a row holds the H query heads, then G key heads, then G value heads.
// `document_start` is u32 [N] or empty: the first position, within its sequence, of the document that the token is in; keys
// before it are masked. REQUIRES: document_start[b*T + t] <= t, and not decreasing with t (documents are contiguous).
void attention_forward(Ops& ops, Tensor out /*[N, H*E]*/, Tensor lse /*[B*H*T]*/, ConstTensor qkv, ConstTensor document_start,
                       const AttentionShape& shape);

// `d_qkv` is overwritten whole; `delta` is scratch. `out` and `lse` are what attention_forward gave.
void attention_backward(Ops& ops, Tensor d_qkv /*[N, (H+2G)*E]*/, Tensor delta /*[B*H*T]*/, ConstTensor d_out /*[N, H*E]*/,
                        ConstTensor qkv, ConstTensor out, ConstTensor lse, ConstTensor document_start, const AttentionShape& shape);

}  // namespace lapilli
