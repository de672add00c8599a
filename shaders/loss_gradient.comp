#version 460
#include "shaders/common.glsl"
#include "shaders/loss_gradient.glsl"
// In place, one chunk of logits becomes gradients of logits. One workgroup a live row, lanes stride its columns.

layout(push_constant, std430) uniform Push { LossGradientArgs args; };

void main() {
  const uint row = spread(linear_group(), args.range, args.row_step);
  if (row >= args.live.at[0]) return;
  const uint base = row * args.logits_stride;
  const RowGradient terms = row_gradient(args, 1.0, row);
  for (uint j = gl_LocalInvocationIndex; j < args.cols; j += kWorkgroup)
    args.logits.at[base + j] = logit_gradient(terms, j, args.logits.at[base + j], args.softcap, 0.0);
}
