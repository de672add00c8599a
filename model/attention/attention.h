#pragma once
// Causal multi-head attention with grouped keys and values; memory O(T) per head (online softmax), no float atomics.
//
//   score(i, j) = q_i . k_j / sqrt(E)  for document_start(i) <= j <= i (same sequence; query head h reads kv head h / (H/G))
//   out_i = sum_j softmax_j(score(i, j)) v_j,   lse_i = log sum_j exp(score(i, j))  (nats)
//
// Deterministic: the backward has one kernel that owns rows of d_k and d_v and one that owns rows of d_q, each summing in a
// fixed order. A NaN reaches every row that may see it and no other.
//
// All is f32, unless Ops::precision is f16 or bf16 and attends_with_matrices() says yes (and, where memory is f32, no measurement found the
// f32 kernels faster): then the factors of the products (q, k, v, d_out,
// the probabilities and their gradients) are rounded to that type once each, sums and softmax stay f32, and qkv, out, d_out and
// d_qkv may each be in memory as f32 or as that type (REQUIRES then: an even head width). lse and delta are always f32.

#include <optional>
#include <string>
#include <vector>

#include "model/ops/ops.h"

namespace lapilli {

enum class AttentionPass { forward, backward };

constexpr uint32_t kWidestHead = 256;

// How a pass is computed.
struct AttentionKernel {
  KernelClass kernel_class;
  uint32_t owned = 0, met = 0;    // rows that a lane (scalar) or a workgroup owns; rows of the other side met at a time
  uint32_t down = 0, across = 0;  // coopmat: how the subgroups stand
  bool owned_shared = false;      // coopmat: what is owned stays in shared memory, too
  std::string to_string() const;  // "coopmat 64x32 shared"
};

struct AttentionShape {
  uint32_t batch;       // B
  uint32_t context;     // T
  uint32_t heads;       // H, a multiple of G
  uint32_t kv_heads;    // G
  uint32_t head_width;  // E, 1..kWidestHead
  std::optional<KernelClass> force = std::nullopt;       // instead of what device and precision suggest, or a measurement found (tests)
  std::optional<AttentionKernel> kernel = std::nullopt;  // the same, to the last detail
};

// Whether attention of this head width, at most 128, has a kernel of cooperative matrices on the device. Wider heads, and every other
// device, take the f32 kernels, and these take f32 memory only.
bool attends_with_matrices(const DeviceCaps& caps, Precision precision, uint32_t head_width);
// The kernel of a class by head width; what else is worth a measurement, after it.
AttentionKernel attention_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, KernelClass kernel_class);
std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& own);

// `qkv` is [N, (H + 2G)E], N = B*T: a row holds the H query heads, then G key heads, then G value heads.
// `document_start` is u32 [N] or empty: the first position, within its sequence, of the document that the token is in; keys
// before it are masked. REQUIRES: document_start[b*T + t] <= t, and not decreasing with t (documents are contiguous).
void attention_forward(Ops& ops, Tensor out /*[N, H*E]*/, Tensor lse /*[B*H*T]*/, ConstTensor qkv, ConstTensor document_start,
                       const AttentionShape& shape);

// `d_qkv` is overwritten whole; `delta` is scratch. `out` and `lse` are what attention_forward gave. `turns`, where it is not empty, turned
// q and k before they came here (model/ops/rope.h: [>=T, E]): their gradients are turned back.
void attention_backward(Ops& ops, Tensor d_qkv /*[N, (H+2G)*E]*/, Tensor delta /*[B*H*T]*/, ConstTensor d_out /*[N, H*E]*/,
                        ConstTensor qkv, ConstTensor out, ConstTensor lse, ConstTensor document_start, ConstTensor turns, const AttentionShape& shape);

}  // namespace lapilli
