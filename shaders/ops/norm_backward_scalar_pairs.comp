#version 460
#include "shaders/common/common.glsl"
// norm_backward.comp on drivers that run on a processor and take pairs.
#include "shaders/common/pairs.glsl"
#include "shaders/common/real.glsl"
#include "shaders/ops/norm_backward.glsl"
