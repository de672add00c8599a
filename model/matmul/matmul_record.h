#pragma once
// A matmul to be recorded; internal to model/matmul.

#include <string>

#include "model/matmul/matmul.h"
#include "shaders/matmul/args.h"

namespace lapilli {

struct MatmulProblem {
  args::MatmulArgs args;
  ConstTensor a, b, c, addend, kept, before;  // the tensors of the pointers in args
  Nonlinearity nonlinearity = Nonlinearity::none;
  Rotary rotary = {};
  Cost cost;
};

// FLOPs per element of the result. For rotary see rope_flops().
double flops_of(Nonlinearity f);

enum class MatmulLayout : uint32_t { nn, nt, tn };  // as matmul_cpu_load64.glsl numbers them
MatmulLayout layout_of(const args::MatmulArgs& args);

// Whether a and b are 8-byte aligned, for 64-bit loads of two floats (matmul_cpu_load64.glsl).
bool operands_8_byte_aligned(const args::MatmulArgs& args);

// Split-K: maximum number of parts, minimum depth of a part.
constexpr uint32_t kMaxSplits = 16, kMinPartDepth = 512;
// Maximum number of split-K parts whose partial results fit into `workspace`. Each part is deep enough that computing
// it costs more than storing its partial sums. 1: cannot be split, for example with a fused activation.
uint32_t max_splits(const MatmulProblem& problem, const MatmulKernel& kernel, const Tensor& workspace);
// Resolves the open choices of `kernel` that depend on the depth: the tile, and the number of splits if `workspace` has
// room, such that there are enough workgroups for a GPU.
MatmulKernel resolve_matmul_kernel(const DeviceCaps& caps, MatmulKernel kernel, const MatmulProblem& problem, const Tensor& workspace);

// Cost of a matmul in tiles of the cpu kernel with 64-bit loads, in arbitrary units (model/matmul/matmul_tile.cpp).
double cpu_load64_cost(uint32_t lanes, uint32_t rows, uint32_t cols, uint32_t tile_rows, uint32_t vectors);

// Records the matmul, whole or split. REQUIRES: kernel.splits <= max_splits(), if more than 1.
void record_matmul(Ops& ops, const MatmulKernel& kernel, const MatmulProblem& problem);

}  // namespace lapilli
