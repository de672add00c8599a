#pragma once
// A matrix times one vector, y = f(alpha W x + bias + addend), f32: for the work of a single token, where a matrix is read once and no tile has
// more than one row. W is f32, f16 or bf16; all else is f32. Bitwise reproducible on a device.

#include "model/matmul/matmul_problem.h"
#include "model/ops/ops.h"

namespace lapilli {

struct MatvecOptions {
  ConstTensor bias;    // [rows] or empty
  ConstTensor addend;  // [rows] or empty: a residual; it may be y
  float alpha = 1.0F;
  // none; gelu; swiglu: y [rows / 2] = silu(gate) up, rows 2i and 2i + 1 are gate i and up i; rotary: rotates pairs of adjacent rows
  Nonlinearity nonlinearity = Nonlinearity::none;
  Rotary rotary = {};    // of rotary: what to rotate, for the position in
  ConstTensor position;  // u32 [1]
};

void matvec(Ops& ops, Tensor y /*[rows]*/, ConstTensor w /*[rows, dim]*/, ConstTensor x /*[dim]*/, const MatvecOptions& options = {});

// The number of roundings that a sum of matvec() over `dim` columns may have had on this device.
double matvec_roundings(const Ops& ops, uint32_t dim);

}  // namespace lapilli
