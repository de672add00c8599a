#version 460
#extension GL_KHR_cooperative_matrix : require
#include "shaders/common/common.glsl"
// The ceiling of f16 matrices with f32 sums.
#include "shaders/common/operands_f16.glsl"
#include "shaders/bench/bench_matrix.glsl"
