#pragma once
// Tiling of a matmul: the form of the kernel and the tile of a workgroup.

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "model/matmul/matmul_kernel.h"
#include "model/ops/ops.h"

namespace lapilli {

// The tile config of a matmul [rows, cols]: the form of the kernel, and the tile of one workgroup. The kernels are
// named <operation>_<form> (shaders/).
struct MatmulTile {
  std::string form;  // "cpu", "cpu_load64", "tiled", "coopmat_f16", "coopmat_bf16", "coopmat2_f16", ...
  bool in_blocks;    // threads hold the tile in blocks (shaders/matmul/matmul_blocks.glsl)
  uint32_t rows, cols;
  uint32_t workgroup;
  SpecConstants constants;  // SPEC_TILE_*
  uint64_t count(uint64_t problem_rows, uint64_t problem_cols) const { return ceil_div(problem_rows, rows) * ceil_div(problem_cols, cols); }
};
// The tiles of a kernel on the device, the largest first, as (tile, tile_cols) of a MatmulKernel.
std::vector<std::pair<uint32_t, uint32_t>> matmul_tiles(const DeviceCaps& caps, const MatmulKernel& kernel);
// The number of workgroups that keeps a GPU busy: a few per SM (compute unit).
constexpr uint32_t kMinWorkgroups = 128;
// The stride of strided_permutation() in shaders/common/common.glsl for `count` rows, or rows of tiles. REQUIRES: count > 0.
uint32_t choose_permutation_step(uint64_t count);
// `load64_fits`: a and b are aligned for 64-bit loads (matmul_cpu_load64.glsl).
MatmulTile choose_matmul_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool load64_fits, const MatmulKernel& kernel);
// Specialization constants for the operands' memory: element types, and alignment of their rows in memory. CHECKs that
// the kernel supports the types. c and each of `like_c` (tensors laid out like c) may be empty.
SpecConstants memory_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c = {},
                               std::initializer_list<ConstTensor> like_c = {});
// Cost of a matmul in tiles of the cpu kernel with 64-bit loads, in arbitrary units.
double cpu_load64_cost(uint32_t lanes, uint32_t rows, uint32_t cols, uint32_t tile_rows, uint32_t vectors);

}  // namespace lapilli
