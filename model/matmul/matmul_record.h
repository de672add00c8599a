#pragma once
// A product as it is recorded, shared by the files of matmul.h.

#include <string>

#include "model/matmul/matmul.h"
#include "shaders/matmul/args.h"

namespace lapilli {

struct MatmulProduct {
  args::MatmulArgs args;
  ConstTensor a, b, c, addend, kept, before;  // what the pointers of args point at
  Nonlinearity nonlinearity = Nonlinearity::none;
  Rotary rotary = {};
  Cost cost;
};

// Of an element of the product; of one that turns rope_flops() knows.
double flops_of(Nonlinearity f);

enum class MatmulLayout : uint32_t { nn, nt, tn };  // as matmul_scalar_pairs.glsl numbers them
MatmulLayout layout_of(const args::MatmulArgs& args);

// Whether a and b begin at 8 bytes, so that two floats can be read as one (matmul_scalar_pairs.glsl).
bool starts_at_pairs(const args::MatmulArgs& args);

// Split-K: no more parts, and none of less depth.
constexpr uint32_t kMostSplits = 16, kShallowestPart = 512;
// Into how many parts of its depth at most the product can be cut whose partial results fit into `workspace` (split-K): each part at
// least so deep that its sums cost more than the memory they go to. 1: not at all, as of one that passes through an activation.
uint32_t most_splits(const MatmulProduct& product, const MatmulKernel& kernel, const Tensor& workspace);
// Fills in what `kernel` leaves open that depends on the depth too: a tile, and splits where `workspace` has room for them, that make
// enough workgroups for a GPU.
MatmulKernel settle_matmul_kernel(const DeviceCaps& caps, MatmulKernel kernel, const MatmulProduct& product, const Tensor& workspace);

// What a product costs in tiles of the scalar kernel that reads pairs, in a unit of its own (model/matmul/matmul_tile.cpp).
double scalar_pairs_cost(uint32_t lanes, uint32_t rows, uint32_t cols, uint32_t tile_rows, uint32_t vectors);

// Records the kernel, once or in parts. REQUIRES: kernel.splits <= most_splits(), if more than 1.
void record_product(Ops& ops, const MatmulKernel& kernel, const MatmulProduct& product);

}  // namespace lapilli
