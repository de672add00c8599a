#version 460
#extension GL_KHR_cooperative_matrix : require
#include "shaders/common.glsl"
// Attention backward for queries: f16 factors, f32 sums, cooperative matrices.
#include "shaders/attention.glsl"
#include "shaders/factors_f16.glsl"
#include "shaders/attention_d_q_coopmat.glsl"
