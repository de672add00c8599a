#pragma once
// The nonlinearities of the feed-forward block, computed in f32, as separate passes over memory. No intermediate
// overflows for finite x. GEMM epilogues fuse them and all their gradients (model/matmul/matmul.h, Nonlinearity). Each
// tensor may be f32, f16 or bf16; 16-bit tensors need an even number of columns. Tensors that share memory have the
// same type.
//
// GELU is GPT-2's tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x * sigmoid(2 ...), which is the
// same function without the cancellation for negative x. SwiGLU: y = silu(gate) * up, silu(g) = g * sigmoid(g).

#include "model/ops/ops.h"

namespace lapilli {

// FLOPs of an element of y, or of d_y: exp counted as 8, a division as 1.
constexpr double kSigmoidFlops = 12;
constexpr double kGeluFlops = kSigmoidFlops + 5, kGeluBackwardFlops = kSigmoidFlops + 13;
constexpr double kSwigluFlops = kSigmoidFlops + 2, kSwigluBackwardFlops = kSigmoidFlops + 7;

void gelu_forward(Ops& ops, Tensor y, ConstTensor x);  // same number of elements; y may be x

// Columns 2i and 2i + 1 of gate_up are gate i and up i.
void swiglu_forward(Ops& ops, Tensor y /*[N,F]*/, ConstTensor gate_up /*[N,2F]*/);

}  // namespace lapilli
