#version 460
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
#include "shaders/pairs_vec2.glsl"
#include "shaders/attention_d_q_scalar.glsl"
