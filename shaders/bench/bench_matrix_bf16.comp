#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_bfloat16 : require
#include "shaders/common/common.glsl"
// The ceiling of bf16 matrices with f32 sums.
#include "shaders/common/operands_bf16.glsl"
#include "shaders/bench/bench_matrix.glsl"
