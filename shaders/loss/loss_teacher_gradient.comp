#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
// Distillation: replaces one chunk of the student's logits by logit gradients, in place.
layout(push_constant, std430) uniform Push { LossTeacherGradientArgs args; };

#include "shaders/loss/loss_gradient_rows.glsl"
float hard_share() { return 1.0 - args.distillation; }
float soft_target(uint row, uint at) {
  return args.distillation * exp(capped(args.teacher_logits.at[at], args.teacher_softcap) - args.teacher_state.at[row * kRowState + kRowLse]);
}
