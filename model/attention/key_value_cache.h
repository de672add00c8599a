#pragma once
// The keys and values of the positions that a model has read, so that the next one need not compute them again.

#include <vector>

#include "model/attention/attention_kernel.h"
#include "model/ops/ops.h"

namespace lapilli {

struct KeyValueCache {
  std::vector<Tensor> layers;  // [T, 2*G*E] each, f32: of each position its G key heads (rotated), then its G value heads
};

// Reserves memory of the kind "key/value cache". `shape` has the context T, and batch 1.
KeyValueCache reserve_key_value_cache(Arena& arena, uint32_t layers, const AttentionShape& shape);

// Copies the keys and values of qkv's rows (f32, f16 or bf16) to the positions from `position` on; those beyond the cache are left out.
void append_to_cache(Ops& ops, Tensor cache /*[T, 2*G*E]*/, ConstTensor qkv /*[rows, (H+2G)*E]*/, ConstTensor position /*u32 [1]*/,
                     const AttentionShape& shape);

// Attention (attention.h) of the one position `position`, whose queries are in qkv, over the cache's positions from 0 to it. f32.
void cached_attention(Ops& ops, Tensor out /*[H*E]*/, ConstTensor qkv /*[(H+2G)*E]*/, ConstTensor cache /*[T, 2*G*E]*/,
                      ConstTensor position /*u32 [1]*/, const AttentionShape& shape);

}  // namespace lapilli
