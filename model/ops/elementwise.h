#pragma once
// Sums over elements and columns, and dropout, f32.

#include "model/ops/ops.h"

namespace lapilli {

void add(Ops& ops, Tensor y, ConstTensor a, ConstTensor b);  // y = a + b; y may be a or b

// d_bias [cols] = sum over rows of d_y [N,cols] (f32, f16 or bf16), in a fixed order. Scratch: at least bias_scratch_floats(N, cols) floats.
uint64_t bias_scratch_floats(uint32_t rows, uint32_t cols);
void bias_backward(Ops& ops, Tensor d_bias, Tensor scratch, ConstTensor d_y, Into into);

// y = dropout(x) + addend: an element is zeroed with probability `rate`, else scaled by 1 / (1 - rate). The mask
// depends only on (random_state, stream, number of elements, element): Philox4x32-10 with key random_state[0..1] and
// counter (block, stream, random_state[2..3]). A stream identifies one dropout in one micro-batch; random_state changes every
// optimizer step. y may be x or addend. REQUIRES: 0 <= rate < 1. y may be f16 or bf16 when it has a multiple of 8 elements.
void dropout_forward(Ops& ops, Tensor y, ConstTensor x, ConstTensor addend /*or empty*/, ConstTensor random_state /*u32 [4]*/, uint32_t stream,
                     float rate);
void dropout_backward(Ops& ops, Tensor d_x, ConstTensor d_y, ConstTensor random_state /*u32 [4]*/, uint32_t stream,
                      float rate);  // d_x as y above; it may be d_y

}  // namespace lapilli
