#version 460
#include "shaders/common.glsl"
#include "shaders/pairs_vec2.glsl"
#include "shaders/real.glsl"
#include "shaders/norm_backward.glsl"
