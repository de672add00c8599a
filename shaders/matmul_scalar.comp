#version 460
#include "shaders/common.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32, any strides.
#include "shaders/matmul_scalar_words.glsl"
#include "shaders/matmul_scalar_store.glsl"
