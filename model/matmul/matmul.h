#pragma once
// Matrix multiplication (GEMM): c = f(y), y = alpha * scale * op(a) op(b) (+ bias) (+ addend), with f32 accumulation.
// Tensors are f32. With 16-bit operands, each of a, b and c (with c also the tensors laid out like it) may be of the
// operand type too: c is then rounded when it is stored instead of when it is read.
//
// A linear layer y = x Wt with W [out, in] is matmul_nt forward; its gradients are matmul_nn (d_x = d_y W) and matmul_tn
// (d_W = d_yt x). Tensors of rank above 2 are seen as [rows, last].

#include <optional>

#include "model/matmul/matmul_problem.h"
#include "model/ops/ops.h"

namespace lapilli {

struct MatmulOptions {
  ConstTensor bias;    // [cols of c] or empty
  ConstTensor addend;  // shape and type of c or empty: a residual
  ConstTensor num_valid;    // u32 [1] or empty: number of valid tokens: rows of c for nn and nt (other rows are not touched),
                       // the summed dimension for tn
  float alpha = 1.0F;
  ConstTensor scale;   // [1] or empty: multiplied with alpha, for a value known only on the device
  Nonlinearity nonlinearity = Nonlinearity::none;
  Tensor kept;         // gelu: shape and type of c or empty; swiglu: y, of c's type
  ConstTensor before;  // for the gradients: the activation's input, shape and type of c
  Rotary rotary = {};  // Nonlinearity::rotary: what to rotate
  std::optional<MatmulKernel> force = std::nullopt;  // for tests and measurements
};

// Workspace for split-K partial results (Ops::workspace). Empty on a CPU driver, which needs only few workgroups.
Tensor reserve_matmul_workspace(Arena& arena, const DeviceCaps& caps);

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite,
               const MatmulOptions& options = {});  // [M,N] = [M,K] [K,N]
void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite,
               const MatmulOptions& options = {});  // [M,N] = [M,K] [N,K]t
void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite,
               const MatmulOptions& options = {});  // [M,N] = [K,M]t [K,N]

}  // namespace lapilli
