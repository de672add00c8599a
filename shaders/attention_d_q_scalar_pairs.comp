#version 460
#include "shaders/common.glsl"
// attention_d_q_scalar.comp where the driver takes pairs.
#include "shaders/attention.glsl"
#include "shaders/pairs.glsl"
#include "shaders/attention_d_q_scalar.glsl"
