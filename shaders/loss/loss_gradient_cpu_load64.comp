#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/load64.glsl"
#include "shaders/loss/loss_gradient.glsl"
// loss_gradient.comp on CPU drivers, f32, two columns per lane at a time. One workgroup per valid row. A pair may extend
// into the gap between rows.

layout(push_constant, std430) uniform Push { LossGradientArgs args; };

const uint kTogether = 4;  // pairs per lane and loop iteration, to amortize the cost of the loop

void main() {
  const uint row = strided_permutation(linear_group(), args.row_chunk, args.permutation_step);
  if (row >= args.num_valid.at[0]) return;
  const uint base = row * args.logits_stride;
  const RowGradient terms = row_gradient(args, 1.0, 1.0, row);
  for (uint j0 = 2 * gl_LocalInvocationIndex; j0 < args.cols; j0 += 2 * kTogether * kWorkgroup) {
    [[unroll]] for (uint i = 0; i < kTogether; ++i) {
      const uint j = j0 + 2 * i * kWorkgroup;
      if (j < args.cols) {
        const vec2 logits = load_f32x2(InF32x2(uvec2(args.logits)), base + j);
        store_f32x2(OutF32x2(uvec2(args.logits)), base + j,
                   vec2(logit_gradient(terms, j, logits.x, args.softcap, 0.0), logit_gradient(terms, j + 1, logits.y, args.softcap, 0.0)));
      }
    }
  }
}
