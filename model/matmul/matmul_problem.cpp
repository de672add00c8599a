#include "model/matmul/matmul_problem.h"

#include <algorithm>

namespace lapilli {

MatmulLayout layout_of(const args::MatmulArgs& args) {
  if (args.a_row == 1 && args.a_depth != 1) return MatmulLayout::tn;
  return args.b_depth == 1 && args.b_col != 1 ? MatmulLayout::nt : MatmulLayout::nn;
}

bool operands_8_byte_aligned(const args::MatmulArgs& args) {
  return args.a.slice.buffer_offset_bytes() % 8 == 0 && args.b.slice.buffer_offset_bytes() % 8 == 0;
}

uint32_t max_splits(const MatmulProblem& problem, const MatmulKernel& kernel, const Tensor& workspace) {
  const args::MatmulArgs& args = problem.args;
  const uint64_t part_floats = uint64_t{args.rows} * args.cols;
  const bool in_words = size_bytes(problem.c.dtype()) == 4 || (args.cols % 2 == 0 && args.c_stride % 2 == 0);  // shaders/common/real.glsl
  if (!workspace || kernel.kernel_class == KernelClass::cpu || !can_split(problem.nonlinearity) || args.num_valid.slice || part_floats == 0 ||
      !in_words)
    return 1;
  const uint64_t most = std::min<uint64_t>(workspace.elements() / part_floats, args.depth / kMinPartDepth);
  return static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, kMaxSplits));
}

bool can_split(Nonlinearity f) { return f == Nonlinearity::none || f == Nonlinearity::rotary || f == Nonlinearity::swiglu; }

}  // namespace lapilli
