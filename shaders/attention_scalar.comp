#version 460
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
#include "shaders/pairs_vec2.glsl"
#include "shaders/attention_forward_scalar.glsl"
