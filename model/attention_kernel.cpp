// Which form of the attention kernels a device gets, and how its workgroups are cut.

#include <algorithm>

#include "model/attention.h"
#include "model/matmul.h"

namespace lapilli {

namespace {

constexpr uint32_t kWidestCoopmat = 128;  // beyond it, what a subgroup holds of the owned rows no longer fits its registers

// A matrix of so few columns at a time, and heads as wide as whole fragments.
uint32_t longest_side(const MatrixShape& shape) { return std::max({16U, shape.cols, shape.depth}); }
uint32_t padded_width(const MatrixShape& shape, uint32_t head_width, uint32_t across) {
  return static_cast<uint32_t>(round_up(head_width, longest_side(shape) * across));
}
uint32_t met_tiles(AttentionPass pass) { return pass == AttentionPass::backward ? 2 : 1; }

// Shared memory of shaders/attention_coopmat.glsl, with some to spare for what there is one of a row.
uint32_t shared_bytes(const AttentionKernel& kernel, AttentionPass pass, uint32_t wide) {
  const uint32_t rows = met_tiles(pass) * (kernel.met + (kernel.owned_shared ? kernel.owned : 0));
  return 16 * (rows * (wide / 8 + 1) + kernel.owned * (kernel.met / 4 + 1)) + 1024;
}

// Backward, two tiles are met at a time, and two sets of sums held. Wide heads then take twice the subgroups, each with half of the
// columns; waves of 64 spread their sums over more lanes and need not. `met` 0: the device has too little of something.
AttentionKernel coopmat_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass) {
  const MatrixShape shape = matrix_shape(caps, precision);
  const uint32_t longest = longest_side(shape);
  const bool backward = pass == AttentionPass::backward, split = backward && head_width > 64 && caps.subgroup_size <= 32 && longest == 16;
  // A fragment's rows to a subgroup: more would not fit its registers, and the statistics of a row stay within one.
  AttentionKernel kernel{.kernel_class = KernelClass::coopmat, .owned = std::max(64U, 2 * shape.rows)};
  kernel.down = kernel.owned / shape.rows;
  kernel.across = split ? 2 : 1;
  if (caps.subgroup_size > 64 || kernel.down * kernel.across * caps.subgroup_size > caps.max_workgroup_invocations) return kernel;
  // A lane goes through 32 scores of a row, or 16: with fewer lanes there are fewer columns.
  kernel.met = std::min(backward && head_width > 64 ? 32U : 64U, std::max(2 * caps.subgroup_size, longest) * (split ? 2 : 1));
  const uint32_t wide = padded_width(shape, head_width, kernel.across);
  const auto fits = [&] { return shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes; };
  if (!fits()) kernel.met = std::min(kernel.met, 32U);
  if (!fits()) kernel.met = 0;
  if (kernel.met != 0 && met_tiles(pass) * wide > 64) {  // many fragments to hold
    kernel.owned_shared = true;
    kernel.owned_shared = fits();
  }
  return kernel;
}

AttentionKernel scalar_kernel(const DeviceCaps& caps, uint32_t owned, uint32_t met) {
  return {.kernel_class = KernelClass::scalar, .owned = owned, .met = std::min(met, caps.subgroup_size)};
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
  // Beyond 64 elements a row of every lane no longer stays in the nearest cache, beyond 32 the instructions of many rows at once: forward
  // at E = 64 runs at 39 GFLOP/s with eight keys, at 44 with four (lapilli bench attention).
  return scalar_kernel(caps, head_width <= 64 ? 2 : 1, pass == AttentionPass::forward && head_width <= 32 ? 8 : 4);
}

std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& own) {
  std::vector<AttentionKernel> candidates{own};
  const auto add = [&](const AttentionKernel& kernel) {
    const auto same = [&](const AttentionKernel& other) { return other.to_string() == kernel.to_string(); };
    if (std::ranges::none_of(candidates, same)) candidates.push_back(kernel);
  };
  if (own.kernel_class == KernelClass::scalar) {
    // How many keys a query meets at a time decides when its sums are rescaled: left alone, so that a CPU's choices change no bit.
    if (pass == AttentionPass::backward) add(scalar_kernel(caps, own.owned, 2));
    if (head_width <= 64) add(scalar_kernel(caps, 4, own.met));  // wider ones take CPU drivers minutes to compile
  }
  if (own.kernel_class != KernelClass::coopmat) return candidates;
  const MatrixShape shape = matrix_shape(caps, precision);
  const uint32_t wide = padded_width(shape, head_width, own.across);
  for (const bool shared : {false, true})
    for (const uint32_t met : {own.met, own.met / 2}) {
      AttentionKernel kernel = own;
      kernel.owned_shared = shared;
      kernel.met = met;
      if (met >= longest_side(shape) * own.across && shared_bytes(kernel, pass, wide) <= caps.max_shared_bytes) add(kernel);
    }
  // f32 kernels take f32 memory only, and round nothing.
  if (memory == DType::f32 && caps.kernel_class == KernelClass::tiled) add(attention_kernel(caps, precision, head_width, pass, KernelClass::tiled));
  return candidates;
}

}  // namespace lapilli
