// main() of the kernels that replace logits by logit gradients in place. One workgroup per valid row, its lanes stride
// over the columns.
//
// 16-bit gradients (SPEC_C_TYPE) occupy the first half of the row. The lanes write elements [b, b + n) after all have
// read theirs. No unread logit is overwritten: gradients of columns from b on are stored at or before the place of
// their own logits, which have been read.
//
// Declared before the include: args. Defined after it: hard_share(), the weight of the hard target, and soft_target(),
// beta q of the logit at element `at`.
#extension GL_KHR_memory_scope_semantics : require
#include "shaders/loss/args.h"
#include "shaders/common/real.glsl"
#include "shaders/loss/loss_gradient.glsl"
float hard_share();
float soft_target(uint row, uint at);

void main() {
  const uint row = strided_permutation(linear_group(), args.row_chunk, args.permutation_step);
  if (row >= args.num_valid.at[0]) return;
  const uint base = row * args.logits_stride;
  const RowGradient terms = row_gradient(args, kOutType == kF32 ? 1.0 : kGradientScale, hard_share(), row);
  for (uint first = 0; first < args.cols; first += kStep * kWorkgroup) {
    const uint col = first + kStep * gl_LocalInvocationIndex;
    vec2 gradients = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j)
      if (col + j < args.cols)
        gradients[j] = logit_gradient(terms, col + j, InOutF32(uvec2(args.logits)).at[base + col + j], args.softcap, soft_target(row, base + col + j));
    if (kStep == 2) controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
    if (col < args.cols) store_reals(OutReal(uvec2(args.logits)), kStep * base + col, gradients);
  }
}
