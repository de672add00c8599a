// Matmuls with workgroup-scope matrices (VK_NV_cooperative_matrix2): supported devices, tiles, kernel arguments.

#include "model/matmul/matmul.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

// Depth of a stage. Emulation keeps matrices in shared memory as f32: 24 KB in the largest tile.
constexpr uint32_t kDepth = 64, kEmulatedDepth = 16;

std::string shader(const MatmulKernel& kernel) {
  return std::string("coopmat2_") + to_string(kernel.precision) + (kernel.emulated ? "_emulated" : "");
}

bool starts_at_16_bytes(const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 16 == 0; }
bool has_rows_of_16_bytes(const ConstTensor& tensor) { return tensor.row_stride() * size_bytes(tensor.dtype()) % 16 == 0; }

}  // namespace

std::optional<std::string> why_no_coopmat2(const DeviceCaps& caps, Precision precision) {
  if (precision == Precision::f32) return "coopmat2 supports f16 and bf16";
  const MatrixShape grain = precision == Precision::f16 ? caps.workgroup_matrix_f16 : caps.workgroup_matrix_bf16;
  if (!grain || !caps.storage16)
    return fmt::format("{} does not support workgroup-scope {} matrices (VK_NV_cooperative_matrix2 with workgroup scope, flexible "
                       "dimensions, tensor addressing, operations on elements and reductions)",
                       caps.name, to_string(precision));
  if (64 % grain.rows != 0 || 64 % grain.cols != 0 || kDepth % grain.depth != 0 || caps.max_matrix_dimension < 256)
    return fmt::format("{} supports workgroup-scope {} matrices in multiples of {} x {} x {} up to {}; coopmat2 needs 64 to 256",
                       caps.name, to_string(precision), grain.rows, grain.cols, grain.depth, caps.max_matrix_dimension);
  if (!has_shader("matmul_" + shader({.kernel_class = KernelClass::coopmat2, .precision = precision})))
    return fmt::format("this program was built with a shader compiler without workgroup-scope matrices; build it again with a glslc that supports {}",
                       precision == Precision::f16 ? "GL_NV_cooperative_matrix2" : "GL_NV_cooperative_matrix2 and GL_EXT_bfloat16");
  return std::nullopt;
}

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
  return {.form = shader(kernel),
          .in_blocks = false,
          .rows = block_m,
          .cols = block_n,
          .workgroup = block_m * block_n > 64 * 64 ? 256U : 128U,
          .constants = {{args::SPEC_TILE_ROWS, block_m},
                        {args::SPEC_TILE_COLS, block_n},
                        {args::SPEC_TILE_DEPTH, kernel.emulated ? kEmulatedDepth : kDepth}}};
}

SpecConstants coopmat2_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c,
                                 std::initializer_list<ConstTensor> like_c) {
  const DType operand_type = storage_type(kernel.precision);
  for (const ConstTensor& tensor : {a, b})
    CHECK(tensor.dtype() == operand_type && starts_at_16_bytes(tensor), "{} at byte {} cannot be an operand of {} coopmat2: wrong type or alignment", tensor.shape().to_string(),
          tensor.slice().buffer_offset_bytes(), to_string(kernel.precision));
  CHECK(c.dtype() == operand_type || c.dtype() == DType::f32, "c {} has neither the operands' type nor f32", c.shape().to_string());
  for (const ConstTensor& tensor : like_c)
    CHECK(!tensor || tensor.dtype() == c.dtype(), "c {} and {} must have the same type", c.shape().to_string(), tensor.shape().to_string());
  return {{args::SPEC_ALIGNED, (has_rows_of_16_bytes(a) ? 1U : 0U) | (has_rows_of_16_bytes(b) ? 2U : 0U) | (starts_at_16_bytes(c) ? 4U : 0U)},
          type_constant(args::SPEC_C_TYPE, c)};
}

}  // namespace lapilli
