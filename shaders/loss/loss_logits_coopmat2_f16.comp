#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common/common.glsl"
// Logits and their online log-sum-exp: f16 factors, f32 sums, cooperative matrices of a workgroup.
#include "shaders/matmul/workgroup_f16.glsl"
#include "shaders/loss/loss_logits_coopmat2.glsl"
