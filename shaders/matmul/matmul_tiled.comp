#version 460
#include "shaders/common/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend) on any GPU, f32, any strides.
layout(constant_id = SPEC_VARIANT) const uint kContiguous = 0;
const bool kEvenRows = true;
#include "shaders/matmul/matmul_tiled.glsl"
#include "shaders/matmul/matmul_store_blocks.glsl"
