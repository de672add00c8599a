#pragma once
// The nonlinearities of the feed-forward block, computed in f32. No intermediate overflows, whatever finite x is. Each tensor may be
// f32, f16 or bf16; those of 16 bits have an even number of columns. Where one may be another, it is of the same type.
//
// GELU is GPT-2's tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x * sigmoid(2 ...), which is the
// same function without the cancellation for negative x. SwiGLU: y = silu(gate) * up, silu(g) = g * sigmoid(g).

#include "model/ops.h"

namespace lapilli {

void gelu_forward(Ops& ops, Tensor y, ConstTensor x);                      // same number of elements; y may be x
void gelu_backward(Ops& ops, Tensor d_x, ConstTensor d_y, ConstTensor x);  // d_x may be d_y or x

// The gate lies in the first F columns of gate_up, up in the last F.
void swiglu_forward(Ops& ops, Tensor y /*[N,F]*/, ConstTensor gate_up /*[N,2F]*/);
void swiglu_backward(Ops& ops, Tensor d_gate_up /*[N,2F]*/, ConstTensor d_y /*[N,F]*/,
                     ConstTensor gate_up /*[N,2F]*/);  // d_gate_up may be gate_up

}  // namespace lapilli
