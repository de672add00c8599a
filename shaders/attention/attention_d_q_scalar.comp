#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/attention.glsl"
#include "shaders/common/pairs_vec2.glsl"
#include "shaders/attention/attention_d_q_scalar.glsl"
