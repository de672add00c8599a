#version 460
#include "shaders/common/common.glsl"
// attention_d_kv_scalar.comp where the driver takes pairs.
#include "shaders/attention/attention.glsl"
#include "shaders/common/pairs.glsl"
#include "shaders/attention/attention_d_kv_scalar.glsl"
