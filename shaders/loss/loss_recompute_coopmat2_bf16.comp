#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common/common.glsl"
// Logits again, stored as gradients of logits: bf16 factors, f32 sums, cooperative matrices of a workgroup.
#include "shaders/matmul/workgroup_bf16.glsl"
#include "shaders/loss/loss_recompute_coopmat2.glsl"
