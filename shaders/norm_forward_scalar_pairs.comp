#version 460
#include "shaders/common.glsl"
// norm_forward.comp on drivers that run on a processor and take pairs.
#include "shaders/pairs.glsl"
#include "shaders/real.glsl"
#include "shaders/norm_forward.glsl"
