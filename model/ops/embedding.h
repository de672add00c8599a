#pragma once
// Token and position embeddings, f32. Token n has position n % T in its sequence.
//
// A token id outside [0, V) causes no out-of-bounds access: its row of x becomes NaN, so that it is noticed, and it
// gets no gradient.

#include "model/ops/ops.h"

namespace lapilli {

// x[n] = wte[tokens[n]] + wpe[(position + n) % T], `position` that of the first token, 0 where it is empty. REQUIRES: context T > 0.
void embedding_forward(Ops& ops, Tensor x /*[N,D]*/, ConstTensor tokens /*u32 [N]*/, ConstTensor wte /*[V,D]*/, ConstTensor wpe /*[T,D] or empty*/,
                       uint32_t context, ConstTensor position = {} /*u32 [1]*/);

// d_wte[v] += sum of d_x[n] over the n with tokens[n] = v, in the order of `order`: deterministic.
// `order` lists the positions sorted by token id; segment s of equal tokens is order[segment_start[s] ..
// segment_start[s + 1]), s < segment_count[0]. Segments name different tokens, and order holds positions < N.
void embedding_backward(Ops& ops, Tensor d_wte /*[V,D]*/, ConstTensor d_x /*[N,D]*/, ConstTensor order /*u32 [N]*/,
                        ConstTensor segment_start /*u32 [N+1]*/, ConstTensor segment_count /*u32 [1]*/, ConstTensor tokens /*u32 [N]*/);

// d_wpe[t] = sum over sequences of d_x[b * T + t], b in ascending order. REQUIRES: N a multiple of T.
void position_embedding_backward(Ops& ops, Tensor d_wpe /*[T,D]*/, ConstTensor d_x /*[N,D]*/, uint32_t context, Into into);

}  // namespace lapilli
