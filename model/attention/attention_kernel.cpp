// Selects the form of the attention kernels for a device, and its tiles.

#include <algorithm>

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

constexpr uint32_t kWidestCoopmat = 128;  // above it, a subgroup's share of the resident rows no longer fits its registers

// Head width is padded to whole cooperative matrices, which have these dimensions.
uint32_t longest_side(const MatrixShape& shape) { return std::max({16U, shape.cols, shape.depth}); }
uint32_t padded_width(const MatrixShape& shape, uint32_t head_width, uint32_t across) {
  return static_cast<uint32_t>(round_up(head_width, longest_side(shape) * across));
}
uint32_t met_tiles(AttentionPass pass) { return pass == AttentionPass::backward ? 2 : 1; }

// Shared memory of shaders/attention/attention_coopmat.glsl, with a reserve for the per-row statistics.
uint32_t shared_bytes(const AttentionKernel& kernel, AttentionPass pass, uint32_t wide) {
  const uint32_t rows = met_tiles(pass) * (kernel.met + (kernel.owned_shared ? kernel.owned : 0));
  return 16 * (rows * (wide / 8 + 1) + kernel.owned * (kernel.met / 4 + 1)) + 1024;
}

// A lane packs the scores of a row in groups of 8 into GEMM operands (attention_coopmat.glsl's kPartCols).
bool gives_lanes_eights(const DeviceCaps& caps, const AttentionKernel& kernel) {
  const uint32_t lane_rows = std::min(caps.subgroup_size, kernel.owned / kernel.down), lanes_of_row = caps.subgroup_size / lane_rows;
  return kernel.met % (8 * lanes_of_row * kernel.across) == 0;
}

// `.across` 2: twice the subgroups, each with half of the columns. `met` 0: the device's limits do not allow it.
AttentionKernel coopmat_cut(const DeviceCaps& caps, const MatrixShape& shape, uint32_t head_width, AttentionPass pass, uint32_t across) {
  // One fragment of rows per subgroup: more would not fit its registers, and a row's statistics stay within one
  // subgroup.
  AttentionKernel kernel{.kernel_class = KernelClass::coopmat, .owned = std::max(64U, 2 * shape.rows), .across = across};
  kernel.down = kernel.owned / shape.rows;
  if (caps.subgroup_size > 64 || kernel.down * kernel.across * caps.subgroup_size > caps.max_workgroup_invocations) return kernel;
  // A lane processes 32, 16 or 8 scores of a row: fewer lanes, fewer columns.
  const uint32_t most = pass == AttentionPass::backward && head_width > 64 ? 32 : 64;
  kernel.met = std::min(most, std::max(2 * caps.subgroup_size, longest_side(shape)) * across);
  const uint32_t wide = padded_width(shape, head_width, across);
  const auto fits = [&] { return shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes; };
  if (!fits()) kernel.met = std::min(kernel.met, 32U);
  if (!fits() || !gives_lanes_eights(caps, kernel)) kernel.met = 0;
  if (kernel.met != 0 && met_tiles(pass) * wide > 64) {  // many fragments in registers
    kernel.owned_shared = true;
    kernel.owned_shared = fits();
  }
  return kernel;
}

// Backward processes two tiles at a time and keeps two sets of accumulators: wide heads are then split over twice the
// subgroups. Subgroups of 64 distribute their accumulators over more lanes and need no split; fragments of 8 rows leave
// a lane too few columns.
AttentionKernel coopmat_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass) {
  const MatrixShape shape = matrix_shape(caps, precision);
  const bool split = pass == AttentionPass::backward && head_width > 64 && caps.subgroup_size <= 32 && longest_side(shape) == 16;
  const AttentionKernel kernel = coopmat_cut(caps, shape, head_width, pass, split ? 2 : 1);
  return split && kernel.met == 0 ? coopmat_cut(caps, shape, head_width, pass, 1) : kernel;
}

}  // namespace

std::string AttentionKernel::to_string() const {
  return fmt::format("{} {}x{}{}", lapilli::to_string(kernel_class), owned, met, owned_shared ? " shared" : "");
}

bool attends_with_matrices(const DeviceCaps& caps, Precision precision, uint32_t head_width) {
  const auto fits = [&](AttentionPass pass) { return coopmat_kernel(caps, precision, head_width, pass).met != 0; };
  return precision != Precision::f32 && multiplies(caps, precision) && has_shader(std::string("attention_coopmat_") + lapilli::to_string(precision)) &&
         head_width <= kWidestCoopmat && fits(AttentionPass::forward) && fits(AttentionPass::backward);
}

AttentionKernel attention_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, KernelClass kernel_class) {
  if (kernel_class == KernelClass::coopmat) return coopmat_kernel(caps, precision, head_width, pass);
  if (kernel_class == KernelClass::tiled) return {.kernel_class = kernel_class, .owned = 64, .met = 64};
  // The resident rows of a lane share the cost of loading and broadcasting a streamed row, as long as they stay in the
  // L1 data cache and their instructions, `owned` x `met` x E multiply-adds, in L2: above 1024 a driver also compiles
  // for minutes. 16 lanes fill twice the cache. For backward, which reads streamed rows from memory, that costs time
  // only up to E = 64 (E = 128, two rows instead of one: 0.85 of the time, forward 1.3). Drivers without 64-bit pair
  // loads were not measured faster with more rows.
  const uint32_t met = pass == AttentionPass::forward && head_width <= 32 ? 8 : 4;
  const bool wide_backward = pass == AttentionPass::backward && head_width > 64;
  const bool fewer = !caps.fast_pair_loads || (caps.subgroup_size > 8 && !wide_backward);
  const uint32_t owned = (head_width <= 64 ? 4U : head_width <= 128 ? 2U : 1U) / (fewer ? 2U : 1U);
  return {.kernel_class = KernelClass::scalar, .owned = std::max(owned, 1U), .met = std::min(met, caps.subgroup_size)};
}

std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& own) {
  std::vector<AttentionKernel> candidates{own};
  const auto add = [&](const AttentionKernel& kernel) {
    const auto same = [&](const AttentionKernel& other) { return other.to_string() == kernel.to_string(); };
    if (std::ranges::none_of(candidates, same)) candidates.push_back(kernel);
  };
  // On a CPU no other tile is more than a few percent faster at any head width, and each takes seconds to compile.
  if (own.kernel_class != KernelClass::coopmat) return candidates;
  const MatrixShape shape = matrix_shape(caps, precision);
  const uint32_t wide = padded_width(shape, head_width, own.across);
  for (const bool shared : {false, true})
    for (const uint32_t met : {own.met, own.met / 2}) {
      AttentionKernel kernel = own;
      kernel.owned_shared = shared;
      kernel.met = met;
      const bool whole_fragments = met >= std::max(longest_side(shape) * own.across, shape.rows);
      if (whole_fragments && gives_lanes_eights(caps, kernel) && shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes) add(kernel);
    }
  // f32 kernels need f32 memory, and do not round.
  if (memory == DType::f32 && caps.kernel_class == KernelClass::tiled) add(attention_kernel(caps, precision, head_width, pass, KernelClass::tiled));
  return candidates;
}

}  // namespace lapilli
