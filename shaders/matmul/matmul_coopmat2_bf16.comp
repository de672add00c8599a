#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend): bf16 factors, f32 sums, cooperative matrices of a workgroup.
#include "shaders/matmul/workgroup_bf16.glsl"
#include "shaders/matmul/matmul_coopmat2_store.glsl"
