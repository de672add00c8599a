#include "model/ops/optimizer.h"

#include "shaders/ops/args.h"

namespace lapilli {

namespace {

// Blocks of squares: the sum of each is one float of scratch. At most kMostBlocks, because one workgroup computes the
// last sum.
constexpr uint64_t kMostBlocks = 4096, kLeastBlock = 4096;
uint32_t norm_block(uint64_t count) { return static_cast<uint32_t>(std::max(kLeastBlock, ceil_div(count, kMostBlocks))); }

template <typename AnyTensor>
AnyTensor flat_range(const AnyTensor& tensor, uint64_t first, uint64_t count) {
  const uint64_t size = size_bytes(tensor.dtype());
  return {tensor.slice().sub(first * size, count * size), Shape{static_cast<uint32_t>(count)}, tensor.dtype()};
}

}  // namespace

uint64_t gradient_norm_scratch_floats(uint64_t count) { return ceil_div(count, norm_block(count)); }

void gradient_norm(Ops& ops, Tensor result, Tensor scratch, ConstTensor gradients, ConstTensor unscale, float clip, uint64_t slice_elements) {
  const uint64_t count = gradients.elements(), blocks = gradient_norm_scratch_floats(count);
  CHECK(result.elements() == 2, "result {}", result.shape().to_string());
  CHECK(scratch.elements() >= blocks, "scratch {}, {} needed", scratch.shape().to_string(), blocks);
  CHECK(count > 0 && clip >= 0, "{} gradients, clip {}", count, clip);
  const uint32_t block = norm_block(count), workgroup = ops.row_workgroup();
  const uint64_t slice_blocks = std::max<uint64_t>(1, slice_elements / block);
  for (uint64_t first = 0; first < blocks; first += slice_blocks) {
    const uint64_t here = std::min(slice_blocks, blocks - first), begin = first * block;
    const uint64_t values = std::min(here * block, count - begin);
    ops.program.dispatch(ops.kernel("square_sum", workgroup),
                         args::SquareSumArgs{.sums = flat_range(scratch, first, here),
                                             .values = flat_range(gradients, begin, values),
                                             .count = static_cast<uint32_t>(values),
                                             .block = block},
                         here, {.flops = 2.0 * static_cast<double>(values), .bytes = 4.0 * static_cast<double>(values)});
  }
  ops.program.dispatch(ops.kernel("gradient_norm", workgroup),
                       args::GradientNormArgs{.result = result,
                                              .sums = flat_range(scratch, 0, blocks),
                                              .unscale = unscale,
                                              .count = static_cast<uint32_t>(blocks),
                                              .clip = clip},
                       1, {.flops = static_cast<double>(blocks), .bytes = 4.0 * static_cast<double>(blocks)});
}

void adamw(Ops& ops, Tensor p, Tensor m, Tensor v, Tensor copy, ConstTensor g, ConstTensor step_scalars, ConstTensor norm_and_scale,
           const AdamWOptions& options, uint64_t slice_elements) {
  check_same_size(p, m, "m");
  check_same_size(p, v, "v");
  check_same_size(p, g, "g");
  if (copy) check_same_size(p, copy, "copy");
  CHECK(!copy || (size_bytes(copy.dtype()) == 2 && slice_elements % 2 == 0), "a copy of {} in slices of {}", copy.shape().to_string(),
        slice_elements);
  CHECK(step_scalars.elements() == 4, "step_scalars {}", step_scalars.shape().to_string());
  CHECK(!norm_and_scale || norm_and_scale.elements() == 2, "norm_and_scale {}", norm_and_scale.shape().to_string());
  for (uint64_t first = 0; first < p.elements(); first += slice_elements) {
    const uint64_t count = std::min(slice_elements, p.elements() - first);
    const Tensor copied = copy ? flat_range(copy, first, count) : Tensor();
    dispatch_elements(ops, "adamw",
                      args::AdamWArgs{.p = flat_range(p, first, count),
                                      .m = flat_range(m, first, count),
                                      .v = flat_range(v, first, count),
                                      .g = flat_range(g, first, count),
                                      .step_scalars = step_scalars,
                                      .norm_and_scale = norm_and_scale,
                                      .copy = copied,
                                      .count = static_cast<uint32_t>(count),
                                      .beta2 = static_cast<float>(options.beta2),
                                      .one_minus_beta1 = static_cast<float>(1 - options.beta1),
                                      .one_minus_beta2 = static_cast<float>(1 - options.beta2),
                                      .eps = static_cast<float>(options.eps),
                                      .weight_decay = static_cast<float>(options.weight_decay)},
                      copy ? lanes(copied, count) : count,
                      {.flops = 16.0 * static_cast<double>(count), .bytes = (copy ? 30.0 : 28.0) * static_cast<double>(count)},
                      type_constants(copied));
  }
}

}  // namespace lapilli
