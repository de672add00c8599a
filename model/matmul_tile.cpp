// How a product is cut into tiles: which form of kernel, of which size.

#include <bit>
#include <numeric>

#include "model/matmul.h"

namespace lapilli {

namespace {

// The largest tile that still makes enough workgroups to fill a GPU (a few per multiprocessor), if the device can run it.
uint32_t tiled_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols) {
  const auto tiles = [&](uint32_t tile) { return ceil_div(rows, tile) * ceil_div(cols, tile); };
  if (caps.max_workgroup_invocations < 256) return 32;
  if (tiles(128) >= 128) return 128;
  // The small tile has 64 threads: no whole subgroup on a device whose subgroups are wider.
  return tiles(64) >= 128 || caps.subgroup_size > 64 ? 64 : 32;
}

MatmulTile scalar_tile(const DeviceCaps& caps, uint32_t rows, bool pairs) {
  // Taller tiles read b less often; few rows make them a waste. Measured on lavapipe (lapilli bench matmul).
  const uint32_t lane_rows = rows <= 8 ? 8 : pairs ? 32 : 24, lane_cols = 2;
  return {.form = pairs ? "scalar_pairs" : "scalar",
          .in_blocks = false,
          .rows = lane_rows,
          .cols = lane_cols * caps.subgroup_size,
          .workgroup = caps.subgroup_size,
          .constants = {{args::SPEC_TILE_ROWS, lane_rows}, {args::SPEC_TILE_COLS, lane_cols}}};
}

MatmulTile block_tile(const std::string& form, uint32_t side, uint32_t depth) {
  return {.form = form,
          .in_blocks = true,
          .rows = side,
          .cols = side,
          .workgroup = side == 32 ? 64U : 256U,
          .constants = {{args::SPEC_TILE_ROWS, side}, {args::SPEC_TILE_COLS, side}, {args::SPEC_TILE_DEPTH, depth}}};
}

std::string coopmat_shader(Precision precision) { return std::string("matmul_coopmat_") + to_string(precision); }

MatmulTile coopmat_tile(const DeviceCaps& caps, uint32_t side, Precision precision) {
  const MatrixShape shape = matrix_shape(caps, precision);
  MatmulTile tile = block_tile(precision == Precision::f16 ? "coopmat_f16" : "coopmat_bf16", side, 32);
  // As square a grid as a power of two allows, wider than high: rows of a fragment of b are the longer ones.
  const uint32_t subgroups = tile.workgroup / caps.subgroup_size;
  const uint32_t down = 1U << (static_cast<uint32_t>(std::bit_width(subgroups) - 1) / 2);
  CHECK(side / down % shape.rows == 0 && side / (subgroups / down) % shape.cols == 0, "{} subgroups of {} lanes share a tile of {} in fragments of {} x {}",
        subgroups, caps.subgroup_size, side, shape.rows, shape.cols);
  const SpecConstants more{{args::SPEC_FRAGMENT_ROWS, shape.rows},
                           {args::SPEC_FRAGMENT_COLS, shape.cols},
                           {args::SPEC_FRAGMENT_DEPTH, shape.depth},
                           {args::SPEC_SUBGROUPS_DOWN, down}};
  tile.constants.insert(tile.constants.end(), more.begin(), more.end());
  return tile;
}

bool starts_rows_at_16_bytes(const ConstTensor& tensor) {
  return tensor.row_stride() % 4 == 0 && tensor.slice().buffer_offset_bytes() % 16 == 0;
}

}  // namespace

uint32_t spreading_row_step(uint64_t count) {
  if (count >= 65536) return 1;  // shaders multiply the two in 32 bits
  auto step = std::max<uint64_t>(static_cast<uint64_t>(0.618 * static_cast<double>(count)), 1);
  while (std::gcd(step, count) != 1) ++step;
  return static_cast<uint32_t>(step);
}

MatrixShape matrix_shape(const DeviceCaps& caps, Precision precision) {
  return precision == Precision::f16 ? caps.matrix_f16 : precision == Precision::bf16 ? caps.matrix_bf16 : MatrixShape{};
}

bool multiplies(const DeviceCaps& caps, Precision precision) {
  return precision == Precision::f32 || (matrix_shape(caps, precision) && has_shader(coopmat_shader(precision)));
}

MatmulKernel matmul_kernel(const DeviceCaps& caps, Precision precision) {
  if (precision == Precision::f32) return {caps.kernel_class};
  if (!matrix_shape(caps, precision))
    throw Error("{} does not multiply {} matrices with f32 sums (VK_KHR_cooperative_matrix); f32 works everywhere", caps.name,
                to_string(precision));
  if (!has_shader(coopmat_shader(precision)))
    throw Error("this program was built by a shader compiler that knows no {} matrices (glslc with {}); build it again with one",
                to_string(precision), precision == Precision::f16 ? "GL_KHR_cooperative_matrix" : "GL_EXT_bfloat16");
  return {.kernel_class = KernelClass::coopmat, .precision = precision};
}

SpecConstant alignment_constant(const ConstTensor& a, const ConstTensor& b) {
  return {args::SPEC_ALIGNED, (starts_rows_at_16_bytes(a) ? 1U : 0U) | (starts_rows_at_16_bytes(b) ? 2U : 0U)};
}

MatmulTile choose_matmul_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool pairs_fit, const MatmulKernel& kernel) {
  if (kernel.kernel_class == KernelClass::scalar) return scalar_tile(caps, rows, kernel.pairs && caps.fast_pair_loads && pairs_fit);
  const uint32_t side = kernel.tile != 0 ? kernel.tile : tiled_tile(caps, rows, cols);
  return kernel.kernel_class == KernelClass::coopmat ? coopmat_tile(caps, side, kernel.precision) : block_tile("tiled", side, 16);
}

}  // namespace lapilli
