#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_bfloat16 : require
#include "shaders/common/common.glsl"
// Attention backward for keys and values: bf16 factors, f32 sums, cooperative matrices.
#include "shaders/attention/attention.glsl"
#include "shaders/common/operands_bf16.glsl"
#include "shaders/attention/attention_d_kv_coopmat.glsl"
