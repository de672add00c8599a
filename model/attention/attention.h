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

#include "model/attention/attention_kernel.h"
#include "model/ops/ops.h"

namespace lapilli {

// `qkv` is [N, (H + 2G)E], N = B*T: a row holds the H query heads, then G key heads, then G value heads.
// `document_start` is u32 [N] or empty: the first position, within its sequence, of the document that the token is in; keys
// before it are masked. REQUIRES: document_start[b*T + t] <= t, and not decreasing with t (documents are contiguous).
void attention_forward(Ops& ops, Tensor out /*[N, H*E]*/, Tensor lse /*[B*H*T]*/, ConstTensor qkv, ConstTensor document_start,
                       const AttentionShape& shape);

// Overwrites all of `d_qkv`; `delta` is scratch. `out` and `lse` come from attention_forward. `cos_sin_table`, if not empty, is
// the cos/sin table that rotated q and k before attention (model/ops/rope.h: [>=T, E]): their gradients are rotated
// back.
void attention_backward(Ops& ops, Tensor d_qkv /*[N, (H+2G)*E]*/, Tensor delta /*[B*H*T]*/, ConstTensor d_out /*[N, H*E]*/, ConstTensor qkv,
                        ConstTensor out, ConstTensor lse, ConstTensor document_start, ConstTensor cos_sin_table, const AttentionShape& shape);

}  // namespace lapilli
