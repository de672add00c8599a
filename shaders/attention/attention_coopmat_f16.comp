#version 460
#extension GL_KHR_cooperative_matrix : require
#include "shaders/common/common.glsl"
// Attention forward: f16 factors, f32 sums, cooperative matrices.
#include "shaders/attention/attention.glsl"
#include "shaders/common/operands_f16.glsl"
#include "shaders/attention/attention_forward_coopmat.glsl"
