#version 460
#include "shaders/common/common.glsl"
#include "shaders/common/pairs_vec2.glsl"
#include "shaders/common/real.glsl"
#include "shaders/ops/norm_backward.glsl"
