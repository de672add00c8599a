#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
// Replaces one chunk of logits by logit gradients, in place.
layout(push_constant, std430) uniform Push { LossGradientArgs args; };

#include "shaders/loss/loss_gradient_rows.glsl"
float hard_share() { return 1.0; }
float soft_target(uint row, uint at) { return 0.0; }
