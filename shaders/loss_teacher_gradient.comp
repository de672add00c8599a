#version 460
#include "shaders/common.glsl"
#include "shaders/loss_gradient.glsl"
// Distillation: in place, one chunk of the student's logits becomes gradients of them. One workgroup a live row.

layout(push_constant, std430) uniform Push { LossTeacherGradientArgs args; };

void main() {
  const uint row = spread(linear_group(), args.range, args.row_step);
  if (row >= args.live.at[0]) return;
  const uint base = row * args.logits_stride;
  const RowGradient terms = row_gradient(args, 1.0 - args.distillation, row);
  const float teacher_lse = args.teacher_state.at[row * kRowState + kRowLse];
  for (uint j = gl_LocalInvocationIndex; j < args.cols; j += kWorkgroup) {
    const float q = exp(capped(args.teacher_logits.at[base + j], args.teacher_softcap) - teacher_lse);
    args.logits.at[base + j] = logit_gradient(terms, j, args.logits.at[base + j], args.softcap, args.distillation * q);
  }
}
