#include "model/matmul/matmul_tile.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace lapilli {

namespace {

// Cost of `count` rows (or columns) in tiles of `size`, if a tile costs its size plus `fixed`.
uint64_t cost_in_tiles(uint32_t count, uint32_t size, uint32_t fixed) { return ceil_div(count, size) * (size + fixed); }
uint32_t cheapest(std::initializer_list<uint32_t> sizes, uint32_t count, uint32_t fixed) {
  return *std::ranges::min_element(sizes, {}, [&](uint32_t size) { return cost_in_tiles(count, size, fixed); });
}

// Rows of a lane. At 8 lanes the code of more than 32 no longer fits the instruction cache (shaders/matmul/matmul_cpu_load64.glsl).
bool takes_high_tiles(const DeviceCaps& caps) { return caps.subgroup_size > 8; }

constexpr uint32_t kFixedRows = 15;
// A step of K takes R x C multiplications (C vectors of columns) and scattered reads of R/16 + C vectors, each as
// expensive as 20 multiplications on lavapipe (lapilli bench matmul): a tile costs as if it had kFixedRows more rows
// and 1 more vector of columns. Columns do not depend on the number of rows: the lane of a column determines the order
// in which the loss sums its exponentials, and the loss of a row must not depend on the number of rows.
MatmulTile cpu_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool load64, const MatmulKernel& kernel) {
  const uint32_t lanes = caps.subgroup_size;
  uint32_t lane_rows = cheapest({24, 8}, rows, kFixedRows);
  if (load64) lane_rows = takes_high_tiles(caps) ? cheapest({64, 32, 8}, rows, kFixedRows) : cheapest({32, 8}, rows, kFixedRows);
  uint32_t lane_cols = load64 ? cheapest({4 * lanes, 2 * lanes}, cols, lanes) / lanes : 2;
  if (load64 && kernel.tile != 0) lane_rows = kernel.tile;
  if (load64 && kernel.tile_cols != 0) lane_cols = kernel.tile_cols;
  return {.form = load64 ? "cpu_load64" : "cpu",
          .in_blocks = false,
          .rows = lane_rows,
          .cols = lane_cols * lanes,
          .workgroup = lanes,
          .constants = {{args::SPEC_TILE_ROWS, lane_rows}, {args::SPEC_TILE_COLS, lane_cols}}};
}

// Workgroup size for a tile in blocks.
uint32_t block_workgroup(uint32_t side) { return side == 32 ? 64 : 256; }

MatmulTile block_tile(const std::string& form, uint32_t side, uint32_t depth) {
  return {.form = form,
          .in_blocks = true,
          .rows = side,
          .cols = side,
          .workgroup = block_workgroup(side),
          .constants = {{args::SPEC_TILE_ROWS, side}, {args::SPEC_TILE_COLS, side}, {args::SPEC_TILE_DEPTH, depth}}};
}

// The grid of subgroups in a tile: as square as powers of two allow, else wider than high, because fragments of b have
// the longer rows.
struct SubgroupGrid {
  uint32_t subgroups_m, subgroups_n;
};
SubgroupGrid subgroup_grid(const DeviceCaps& caps, uint32_t side) {
  const uint32_t subgroups = block_workgroup(side) / caps.subgroup_size;
  const uint32_t subgroups_m = 1U << (static_cast<uint32_t>(std::bit_width(subgroups) - 1) / 2);
  return {subgroups_m, subgroups / subgroups_m};
}
// Whether each subgroup gets whole fragments.
bool shares_out(const DeviceCaps& caps, uint32_t side, const MatrixShape& shape) {
  if (block_workgroup(side) < caps.subgroup_size) return false;
  const SubgroupGrid grid = subgroup_grid(caps, side);
  return side / grid.subgroups_m % shape.rows == 0 && side / grid.subgroups_n % shape.cols == 0;
}

MatmulTile coopmat_tile(const DeviceCaps& caps, uint32_t side, const MatmulKernel& kernel) {
  const MatrixShape shape = matrix_shape(caps, kernel.precision);
  MatmulTile tile = block_tile(kernel.precision == Precision::f16 ? "coopmat_f16" : "coopmat_bf16", side, 32);
  CHECK(shares_out(caps, side, shape), "subgroups of {} lanes cannot share a tile of {} in fragments of {} x {}", caps.subgroup_size, side,
        shape.rows, shape.cols);
  const SpecConstants more{{args::SPEC_FRAGMENT_ROWS, shape.rows},
                           {args::SPEC_FRAGMENT_COLS, shape.cols},
                           {args::SPEC_FRAGMENT_DEPTH, shape.depth},
                           {args::SPEC_SUBGROUPS_M, subgroup_grid(caps, side).subgroups_m},
                           {args::SPEC_TRANSPOSES, kernel.transposes ? 1U : 0U}};
  tile.constants.insert(tile.constants.end(), more.begin(), more.end());
  return tile;
}

bool starts_rows_at(uint64_t alignment_bytes, const ConstTensor& tensor) {
  return tensor.row_stride() * size_bytes(tensor.dtype()) % alignment_bytes == 0 && tensor.slice().buffer_offset_bytes() % alignment_bytes == 0;
}
// Whether four elements can be read or written at once.
bool rows_start_at_vec4(const ConstTensor& tensor) { return !tensor || starts_rows_at(4 * size_bytes(tensor.dtype()), tensor); }

// The largest tile with enough workgroups, else the smallest.
uint32_t filling_tile(const DeviceCaps& caps, const MatmulKernel& kernel, uint32_t rows, uint32_t cols) {
  const auto tiles = matmul_tiles(caps, kernel);
  for (const auto& [side, same] : tiles)
    if (ceil_div(rows, side) * ceil_div(cols, same) >= kMinWorkgroups) return side;
  return tiles.back().first;
}

// Depth of a stage. Emulation keeps matrices in shared memory as f32: 24 KB in the largest tile.
constexpr uint32_t kEmulatedDepth = 16;

std::string coopmat2_form(const MatmulKernel& kernel) {
  return std::string("coopmat2_") + to_string(kernel.precision) + (kernel.emulated ? "_emulated" : "");
}

bool starts_at_16_bytes(const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 16 == 0; }
bool has_rows_of_16_bytes(const ConstTensor& tensor) { return tensor.row_stride() * size_bytes(tensor.dtype()) % 16 == 0; }

// The largest tile with at least two workgroups per SM of a large GPU, else with one; else the smallest.
MatmulTile coopmat2_tile(uint32_t rows, uint32_t cols, const MatmulKernel& kernel) {
  const auto tiles = [&](uint32_t tile_rows, uint32_t tile_cols) { return ceil_div(rows, tile_rows) * ceil_div(cols, tile_cols); };
  uint32_t block_m = 64, block_n = 64;
  if (kernel.tile != 0) {
    block_m = kernel.tile;
    block_n = kernel.tile_cols != 0 ? kernel.tile_cols : kernel.tile;
  } else if (std::min(tiles(128, 256), tiles(256, 128)) >= 256) {
    block_m = tiles(128, 256) <= tiles(256, 128) ? 128 : 256;
    block_n = 384 - block_m;
  } else if (tiles(128, 128) >= 128) {
    block_m = block_n = 128;
  }
  CHECK(block_m >= 64 && block_n >= 64 && block_m * block_n <= 128 * 256, "a tile of {} x {}", block_m, block_n);
  return {.form = coopmat2_form(kernel),
          .in_blocks = false,
          .rows = block_m,
          .cols = block_n,
          .workgroup = block_m * block_n > 64 * 64 ? 256U : 128U,
          .constants = {{args::SPEC_TILE_ROWS, block_m},
                        {args::SPEC_TILE_COLS, block_n},
                        {args::SPEC_TILE_DEPTH, kernel.emulated ? kEmulatedDepth : kCoopmat2Depth}}};
}

SpecConstants coopmat2_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c,
                                 std::initializer_list<ConstTensor> like_c) {
  const DType operand_type = storage_type(kernel.precision);
  for (const ConstTensor& tensor : {a, b})
    CHECK(tensor.dtype() == operand_type && starts_at_16_bytes(tensor), "{} at byte {} cannot be an operand of {} coopmat2: wrong type or alignment",
          tensor.shape().to_string(), tensor.slice().buffer_offset_bytes(), to_string(kernel.precision));
  CHECK(c.dtype() == operand_type || c.dtype() == DType::f32, "c {} has neither the operands' type nor f32", c.shape().to_string());
  for (const ConstTensor& tensor : like_c)
    CHECK(!tensor || tensor.dtype() == c.dtype(), "c {} and {} must have the same type", c.shape().to_string(), tensor.shape().to_string());
  return {{args::SPEC_ALIGNED, (has_rows_of_16_bytes(a) ? 1U : 0U) | (has_rows_of_16_bytes(b) ? 2U : 0U) | (starts_at_16_bytes(c) ? 4U : 0U)},
          type_constant(args::SPEC_C_TYPE, c)};
}

}  // namespace

std::vector<std::pair<uint32_t, uint32_t>> matmul_tiles(const DeviceCaps& caps, const MatmulKernel& kernel) {
  switch (kernel.kernel_class) {
    case KernelClass::cpu:
      if (!takes_high_tiles(caps)) return {{32, 4}, {32, 2}, {8, 4}, {8, 2}};
      return {{64, 4}, {64, 2}, {32, 4}, {32, 2}, {8, 4}, {8, 2}};
    case KernelClass::coopmat2: return {{128, 256}, {256, 128}, {128, 128}, {64, 64}};
    case KernelClass::tiled:
    case KernelClass::coopmat: break;
  }
  std::vector<std::pair<uint32_t, uint32_t>> tiles;
  for (const uint32_t side : {128U, 64U, 32U}) {
    // A tile needs at least one whole subgroup.
    const bool runs = block_workgroup(side) <= caps.max_workgroup_invocations && block_workgroup(side) >= caps.subgroup_size;
    if (runs && (kernel.kernel_class == KernelClass::tiled || shares_out(caps, side, matrix_shape(caps, kernel.precision))))
      tiles.emplace_back(side, side);
  }
  CHECK(!tiles.empty(), "no tile of {} fits {}", lapilli::to_string(kernel.kernel_class), caps.name);
  return tiles;
}

double cpu_load64_cost(uint32_t lanes, uint32_t rows, uint32_t cols, uint32_t tile_rows, uint32_t vectors) {
  return static_cast<double>(cost_in_tiles(rows, tile_rows, kFixedRows)) * static_cast<double>(cost_in_tiles(cols, vectors * lanes, lanes));
}

uint32_t choose_permutation_step(uint64_t count) {
  if (count >= 65536) return 1;  // shaders multiply the two in 32 bits
  auto step = std::max<uint64_t>(static_cast<uint64_t>(0.618 * static_cast<double>(count)), 1);
  while (std::gcd(step, count) != 1) ++step;
  return static_cast<uint32_t>(step);
}

SpecConstants memory_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c,
                               std::initializer_list<ConstTensor> like_c) {
  if (kernel.kernel_class == KernelClass::coopmat2) return coopmat2_constants(kernel, a, b, c, like_c);
  const bool coopmat = kernel.kernel_class == KernelClass::coopmat;
  for (const ConstTensor& tensor : {a, b, c})
    CHECK(!tensor || tensor.dtype() == DType::f32 || (coopmat && tensor.dtype() == storage_type(kernel.precision)),
          "{} is of a type that the {} kernel does not support", tensor.shape().to_string(), to_string(kernel.kernel_class));
  for (const ConstTensor& tensor : like_c)
    CHECK(!tensor || tensor.dtype() == c.dtype(), "c {} and {} must have the same type", c.shape().to_string(), tensor.shape().to_string());
  if (!coopmat) return {};
  const bool fours = c && rows_start_at_vec4(c) && std::ranges::all_of(like_c, rows_start_at_vec4);
  return {{args::SPEC_ALIGNED, (starts_rows_at(16, a) ? 1U : 0U) | (starts_rows_at(16, b) ? 2U : 0U) | (fours ? 4U : 0U)},
          type_constant(args::SPEC_A_TYPE, a),
          type_constant(args::SPEC_B_TYPE, b),
          type_constant(args::SPEC_C_TYPE, c)};
}

MatmulTile choose_matmul_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool load64_fits, const MatmulKernel& kernel) {
  if (kernel.kernel_class == KernelClass::cpu) return cpu_tile(caps, rows, cols, kernel.load64 && caps.fast_64bit_loads && load64_fits, kernel);
  if (kernel.kernel_class == KernelClass::coopmat2) return coopmat2_tile(rows, cols, kernel);
  const uint32_t side = kernel.tile != 0 ? kernel.tile : filling_tile(caps, kernel, rows, cols);
  return kernel.kernel_class == KernelClass::coopmat ? coopmat_tile(caps, side, kernel) : block_tile("tiled", side, 16);
}

}  // namespace lapilli
