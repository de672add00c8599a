#pragma once
// A matmul to be recorded; internal to model/matmul.

#include <string>

#include "model/matmul/matmul.h"
#include "shaders/matmul/args.h"

namespace lapilli {

struct MatmulProduct {
  args::MatmulArgs args;
  ConstTensor a, b, c, addend, kept, before;  // the tensors of the pointers in args
  Nonlinearity nonlinearity = Nonlinearity::none;
  Rotary rotary = {};
  Cost cost;
};

// FLOPs per element of the result. For rotary see rope_flops().
double flops_of(Nonlinearity f);

enum class MatmulLayout : uint32_t { nn, nt, tn };  // as matmul_scalar_pairs.glsl numbers them
MatmulLayout layout_of(const args::MatmulArgs& args);

// Whether a and b are 8-byte aligned, for 64-bit loads of two floats (matmul_scalar_pairs.glsl).
bool starts_at_pairs(const args::MatmulArgs& args);

// Split-K: maximum number of parts, minimum depth of a part.
constexpr uint32_t kMostSplits = 16, kShallowestPart = 512;
// Maximum number of split-K parts whose partial results fit into `workspace`. Each part is deep enough that computing
// it costs more than storing its partial sums. 1: cannot be split, for example with a fused activation.
uint32_t most_splits(const MatmulProduct& product, const MatmulKernel& kernel, const Tensor& workspace);
// Resolves the open choices of `kernel` that depend on the depth: the tile, and the number of splits if `workspace` has
// room, such that there are enough workgroups for a GPU.
MatmulKernel settle_matmul_kernel(const DeviceCaps& caps, MatmulKernel kernel, const MatmulProduct& product, const Tensor& workspace);

// Cost of a matmul in tiles of the scalar kernel with 64-bit loads, in arbitrary units (model/matmul/matmul_tile.cpp).
double scalar_pairs_cost(uint32_t lanes, uint32_t rows, uint32_t cols, uint32_t tile_rows, uint32_t vectors);

// Records the matmul, whole or split. REQUIRES: kernel.splits <= most_splits(), if more than 1.
void record_product(Ops& ops, const MatmulKernel& kernel, const MatmulProduct& product);

}  // namespace lapilli
