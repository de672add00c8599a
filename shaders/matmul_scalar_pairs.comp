#version 460
#include "shaders/common.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32, with 64-bit loads.
layout(constant_id = SPEC_VARIANT) const uint kLayout = 0;
#include "shaders/matmul_scalar_pairs.glsl"
#include "shaders/matmul_scalar_store.glsl"
