#version 460
#include "shaders/common/common.glsl"
// attention_scalar.comp where the driver takes pairs.
#include "shaders/attention/attention.glsl"
#include "shaders/common/pairs.glsl"
#include "shaders/attention/attention_forward_scalar.glsl"
