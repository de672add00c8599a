#version 460
#include "shaders/common/common.glsl"
// attention_d_q_scalar.comp where the driver takes pairs.
#include "shaders/attention/attention.glsl"
#include "shaders/common/pairs.glsl"
#include "shaders/attention/attention_d_q_scalar.glsl"
