#version 460
#include "shaders/common.glsl"
// attention_d_kv_scalar.comp where the driver takes pairs.
#include "shaders/attention.glsl"
#include "shaders/pairs.glsl"
#include "shaders/attention_d_kv_scalar.glsl"
