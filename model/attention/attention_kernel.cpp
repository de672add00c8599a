// Which form of the attention kernels a device gets, and how its workgroups are cut.

#include <algorithm>

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

constexpr uint32_t kWidestCoopmat = 128;  // beyond it, what a subgroup holds of the owned rows no longer fits its registers

// A matrix of so few columns at a time, and heads as wide as whole fragments.
uint32_t longest_side(const MatrixShape& shape) { return std::max({16U, shape.cols, shape.depth}); }
uint32_t padded_width(const MatrixShape& shape, uint32_t head_width, uint32_t across) {
  return static_cast<uint32_t>(round_up(head_width, longest_side(shape) * across));
}
uint32_t met_tiles(AttentionPass pass) { return pass == AttentionPass::backward ? 2 : 1; }

// Shared memory of shaders/attention/attention_coopmat.glsl, with some to spare for what there is one of a row.
uint32_t shared_bytes(const AttentionKernel& kernel, AttentionPass pass, uint32_t wide) {
  const uint32_t rows = met_tiles(pass) * (kernel.met + (kernel.owned_shared ? kernel.owned : 0));
  return 16 * (rows * (wide / 8 + 1) + kernel.owned * (kernel.met / 4 + 1)) + 1024;
}

// A lane packs whole eights of a row's scores into factors (attention_coopmat.glsl's kPartCols).
bool gives_lanes_eights(const DeviceCaps& caps, const AttentionKernel& kernel) {
  const uint32_t lane_rows = std::min(caps.subgroup_size, kernel.owned / kernel.down), lanes_of_row = caps.subgroup_size / lane_rows;
  return kernel.met % (8 * lanes_of_row * kernel.across) == 0;
}

// Across 2: twice the subgroups, each with half of the columns. `met` 0: the device has too little of something.
AttentionKernel coopmat_cut(const DeviceCaps& caps, const MatrixShape& shape, uint32_t head_width, AttentionPass pass, uint32_t across) {
  // A fragment's rows to a subgroup: more would not fit its registers, and the statistics of a row stay within one.
  AttentionKernel kernel{.kernel_class = KernelClass::coopmat, .owned = std::max(64U, 2 * shape.rows), .across = across};
  kernel.down = kernel.owned / shape.rows;
  if (caps.subgroup_size > 64 || kernel.down * kernel.across * caps.subgroup_size > caps.max_workgroup_invocations) return kernel;
  // A lane goes through 32 scores of a row, or 16, or 8: with fewer lanes there are fewer columns.
  const uint32_t most = pass == AttentionPass::backward && head_width > 64 ? 32 : 64;
  kernel.met = std::min(most, std::max(2 * caps.subgroup_size, longest_side(shape)) * across);
  const uint32_t wide = padded_width(shape, head_width, across);
  const auto fits = [&] { return shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes; };
  if (!fits()) kernel.met = std::min(kernel.met, 32U);
  if (!fits() || !gives_lanes_eights(caps, kernel)) kernel.met = 0;
  if (kernel.met != 0 && met_tiles(pass) * wide > 64) {  // many fragments to hold
    kernel.owned_shared = true;
    kernel.owned_shared = fits();
  }
  return kernel;
}

// Backward, two tiles are met at a time, and two sets of sums held: wide heads are then split over twice the subgroups. Waves of 64 spread
// their sums over more lanes and need not; fragments of 8 rows leave a lane too few columns.
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
  // Owned rows of a lane share what a met one costs to read and hand round, as long as they stay in the nearest caches, and their
  // instructions, owned x met x E multiply-adds, in the next: beyond 1024 a driver compiles for minutes, too. Lanes of 16 fill twice the cache,
  // which backward, whose met rows are left in memory, minds up to E = 64 only (E = 128, two rows for one: 0.85 of the time, forward 1.3);
  // drivers that are not given pairs have not been found faster with more rows.
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
  // On a processor no other cut is more than some percent faster at any head width, and one takes a driver seconds to compile.
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
  // f32 kernels take f32 memory only, and round nothing.
  if (memory == DType::f32 && caps.kernel_class == KernelClass::tiled) add(attention_kernel(caps, precision, head_width, pass, KernelClass::tiled));
  return candidates;
}

}  // namespace lapilli
