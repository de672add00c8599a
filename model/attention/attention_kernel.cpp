#include "model/attention/attention_kernel.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/integer_math.h"
#include "model/matmul/matmul_kernel.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

constexpr uint32_t kMaxCoopmatWidth = 128;  // above it, a subgroup's share of the resident rows no longer fits its registers

// Head width is padded to whole cooperative matrices, which have these dimensions.
uint32_t longest_side(const MatrixShape& shape) { return std::max({16U, shape.cols, shape.depth}); }
uint32_t padded_width(const MatrixShape& shape, uint32_t head_width, uint32_t subgroups_n) {
  return static_cast<uint32_t>(round_up(head_width, uint64_t{longest_side(shape)} * subgroups_n));
}
uint32_t streamed_tiles(AttentionPass pass) { return pass == AttentionPass::backward ? 2 : 1; }

// Shared memory of shaders/attention/attention_coopmat.glsl, with a reserve for the per-row statistics.
uint32_t shared_bytes(const AttentionKernel& kernel, AttentionPass pass, uint32_t wide) {
  const uint32_t rows = streamed_tiles(pass) * (kernel.block_n + (kernel.block_m_shared ? kernel.block_m : 0));
  return 16 * (rows * (wide / 8 + 1) + kernel.block_m * (kernel.block_n / 4 + 1)) + 1024;
}

// A lane packs the scores of a row in groups of 8 into GEMM operands (attention_coopmat.glsl's kPartCols).
bool gives_lanes_vec8(const DeviceCaps& caps, const AttentionKernel& kernel) {
  const uint32_t lane_rows = std::min(caps.subgroup_size, kernel.block_m / kernel.subgroups_m), lanes_of_row = caps.subgroup_size / lane_rows;
  return kernel.block_n % (8 * lanes_of_row * kernel.subgroups_n) == 0;
}

// `.subgroups_n` 2: twice the subgroups, each with half of the columns. `block_n` 0: the device's limits do not allow it.
AttentionKernel coopmat_config(const DeviceCaps& caps, const MatrixShape& shape, uint32_t head_width, AttentionPass pass, uint32_t subgroups_n) {
  // One fragment of rows per subgroup: more would not fit its registers, and a row's statistics stay within one
  // subgroup.
  AttentionKernel kernel{.kernel_class = KernelClass::coopmat, .block_m = std::max(64U, 2 * shape.rows), .subgroups_n = subgroups_n};
  kernel.subgroups_m = kernel.block_m / shape.rows;
  if (caps.subgroup_size > 64 || kernel.subgroups_m * kernel.subgroups_n * caps.subgroup_size > caps.max_workgroup_invocations) return kernel;
  // A lane processes 32, 16 or 8 scores of a row: fewer lanes, fewer columns.
  const uint32_t most = pass == AttentionPass::backward && head_width > 64 ? 32 : 64;
  kernel.block_n = std::min(most, std::max(2 * caps.subgroup_size, longest_side(shape)) * subgroups_n);
  const uint32_t wide = padded_width(shape, head_width, subgroups_n);
  const auto fits = [&] { return shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes; };
  if (!fits()) kernel.block_n = std::min(kernel.block_n, 32U);
  if (!fits() || !gives_lanes_vec8(caps, kernel)) kernel.block_n = 0;
  if (kernel.block_n != 0 && streamed_tiles(pass) * wide > 64) {  // many fragments in registers
    kernel.block_m_shared = true;
    kernel.block_m_shared = fits();
  }
  return kernel;
}

// Backward processes two tiles at a time and keeps two sets of accumulators: wide heads are then split over twice the
// subgroups. Subgroups of 64 distribute their accumulators over more lanes and need no split; fragments of 8 rows leave
// a lane too few columns.
AttentionKernel coopmat_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass) {
  const MatrixShape shape = matrix_shape(caps, precision);
  const bool split = pass == AttentionPass::backward && head_width > 64 && caps.subgroup_size <= 32 && longest_side(shape) == 16;
  const AttentionKernel kernel = coopmat_config(caps, shape, head_width, pass, split ? 2 : 1);
  return split && kernel.block_n == 0 ? coopmat_config(caps, shape, head_width, pass, 1) : kernel;
}

}  // namespace

std::string AttentionKernel::to_string() const {
  return fmt::format("{} {}x{}{}", lapilli::to_string(kernel_class), block_m, block_n, block_m_shared ? " shared" : "");
}

bool has_coopmat_attention(const DeviceCaps& caps, Precision precision, uint32_t head_width) {
  const auto fits = [&](AttentionPass pass) { return coopmat_kernel(caps, precision, head_width, pass).block_n != 0; };
  return precision != Precision::f32 && has_matmul(caps, precision) &&
         has_shader(std::string("attention_coopmat_") + lapilli::to_string(precision)) && head_width <= kMaxCoopmatWidth &&
         fits(AttentionPass::forward) && fits(AttentionPass::backward);
}

AttentionKernel attention_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, KernelClass kernel_class) {
  if (kernel_class == KernelClass::coopmat) return coopmat_kernel(caps, precision, head_width, pass);
  if (kernel_class == KernelClass::tiled) return {.kernel_class = kernel_class, .block_m = 64, .block_n = 64};
  // The resident rows of a lane share the cost of loading and broadcasting a streamed row, as long as they stay in the
  // L1 data cache and their instructions, `block_m` x `block_n` x E multiply-adds, in L2: above 1024 a driver also compiles
  // for minutes. 16 lanes fill twice the cache. For backward, which reads streamed rows from memory, that costs time
  // only up to E = 64 (E = 128, two rows instead of one: 0.85 of the time, forward 1.3). Drivers without 64-bit pair
  // loads were not measured faster with more rows.
  const uint32_t block_n = pass == AttentionPass::forward && head_width <= 32 ? 8 : 4;
  const bool wide_backward = pass == AttentionPass::backward && head_width > 64;
  const bool fewer = !caps.fast_64bit_loads || (caps.subgroup_size > 8 && !wide_backward);
  const uint32_t block_m = (head_width <= 64 ? 4U : head_width <= 128 ? 2U : 1U) / (fewer ? 2U : 1U);
  return {.kernel_class = KernelClass::cpu, .block_m = std::max(block_m, 1U), .block_n = std::min(block_n, caps.subgroup_size)};
}

std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& default_kernel) {
  std::vector<AttentionKernel> candidates{default_kernel};
  const auto add = [&](const AttentionKernel& kernel) {
    const auto same = [&](const AttentionKernel& other) { return other.to_string() == kernel.to_string(); };
    if (std::ranges::none_of(candidates, same)) candidates.push_back(kernel);
  };
  // On a CPU no other tile is more than a few percent faster at any head width, and each takes seconds to compile.
  if (default_kernel.kernel_class != KernelClass::coopmat) return candidates;
  const MatrixShape shape = matrix_shape(caps, precision);
  const uint32_t wide = padded_width(shape, head_width, default_kernel.subgroups_n);
  for (const bool shared : {false, true})
    for (const uint32_t block_n : {default_kernel.block_n, default_kernel.block_n / 2}) {
      AttentionKernel kernel = default_kernel;
      kernel.block_m_shared = shared;
      kernel.block_n = block_n;
      const bool whole_fragments = block_n >= std::max(longest_side(shape) * default_kernel.subgroups_n, shape.rows);
      if (whole_fragments && gives_lanes_vec8(caps, kernel) && shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes) add(kernel);
    }
  // f32 kernels need f32 memory, and do not round.
  if (memory == DType::f32 && caps.kernel_class == KernelClass::tiled) add(attention_kernel(caps, precision, head_width, pass, KernelClass::tiled));
  return candidates;
}

}  // namespace lapilli
