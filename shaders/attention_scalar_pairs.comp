#version 460
#include "shaders/common.glsl"
// attention_scalar.comp where the driver takes pairs.
#include "shaders/attention.glsl"
#include "shaders/pairs.glsl"
#include "shaders/attention_forward_scalar.glsl"
