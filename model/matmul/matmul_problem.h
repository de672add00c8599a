#pragma once
// A matmul to be recorded: its operands and what is fused into the store.

#include "engine/program/program.h"
#include "model/matmul/matmul_kernel.h"
#include "model/ops/rotary.h"
#include "shaders/matmul/args.h"

namespace lapilli {

// Function fused into the store: an activation (model/ops/activation.h), its gradient (y is then the gradient of the
// activation's output), or rotary embedding. It needs no extra pass over memory, except for swiglu and rotary on
// kernels that do not store pairs of columns: coopmat2, the cpu one with 32-bit loads, and split-K are followed by
// swiglu_forward() or rope(). A matmul with one overwrites all of c and supports only a bias.
enum class Nonlinearity : uint32_t {
  none = args::kLinear,
  gelu = args::kGelu,                       // c = gelu(y); y, in c's type, is stored in `kept` if given
  gelu_backward = args::kGeluBackward,      // c = y gelu'(before)
  // c [M,N] = silu(gate) up; columns 2i and 2i + 1 of y [M,2N] are gate i and up i; y is stored in `kept`
  swiglu = args::kSwiglu,
  swiglu_backward = args::kSwigluBackward,  // c [M,2N] = gradients of the pairs in `before` [M,2N]
  rotary = args::kRotary,                   // rotates the first columns, see MatmulOptions::rotary
};

struct MatmulProblem {
  args::MatmulArgs args;
  ConstTensor a, b, c, addend, kept, before;  // the tensors of the pointers in args
  Nonlinearity nonlinearity = Nonlinearity::none;
  Rotary rotary = {};
  Cost cost;
};

enum class MatmulLayout : uint32_t { nn, nt, tn };  // as matmul_cpu_load64.glsl numbers them
MatmulLayout layout_of(const args::MatmulArgs& args);

// Whether a and b are 8-byte aligned, for 64-bit loads of two floats (matmul_cpu_load64.glsl).
bool operands_8_byte_aligned(const args::MatmulArgs& args);

// Split-K: maximum number of parts, minimum depth of a part.
constexpr uint32_t kMaxSplits = 16, kMinPartDepth = 512;
// Maximum number of split-K parts whose partial results fit into `workspace`. Each part is deep enough that computing
// it costs more than storing its partial sums. 1: cannot be split, for example with a fused activation.
uint32_t max_splits(const MatmulProblem& problem, const MatmulKernel& kernel, const Tensor& workspace);
// Whether split-K may be used with this nonlinearity: those on pairs of columns run after the parts are summed, others
// need the complete sum.
bool can_split(Nonlinearity f);

}  // namespace lapilli
