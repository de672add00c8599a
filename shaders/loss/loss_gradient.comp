#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
// In place, one chunk of logits becomes gradients of logits.
layout(push_constant, std430) uniform Push { LossGradientArgs args; };

#include "shaders/loss/loss_gradient_rows.glsl"
float hard_share() { return 1.0; }
float soft_target(uint row, uint at) { return 0.0; }
