#version 460
#extension GL_KHR_cooperative_matrix : require
#include "shaders/common.glsl"
// The ceiling of f16 matrices with f32 sums.
#include "shaders/factors_f16.glsl"
#include "shaders/bench_matrix.glsl"
