// main() of the kernels that turn logits into gradients of logits in place. One workgroup a live row, its lanes stride the columns.
//
// Gradients of 16 bits (SPEC_C_TYPE) take the first half of the row. The lanes write elements [b, b + n) when all have read theirs: no
// logit is lost, since only the first n gradients lie where logits of their own stretch lay, and the others where earlier ones did.
//
// Declared before this is included: args. Defined after: hard_share(), what the hard target counts, and soft_target(), beta q of the
// logit at element `at`.
#extension GL_KHR_memory_scope_semantics : require
#include "shaders/loss/args.h"
#include "shaders/common/real.glsl"
#include "shaders/loss/loss_gradient.glsl"
float hard_share();
float soft_target(uint row, uint at);

void main() {
  const uint row = spread(linear_group(), args.range, args.row_step);
  if (row >= args.live.at[0]) return;
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
