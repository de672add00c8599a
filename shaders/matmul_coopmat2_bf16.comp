#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_bfloat16 : require
#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common.glsl"
// c = f(alpha * op(a) op(b) + bias + addend): a and b in bf16, f32 sums, cooperative matrices of a workgroup. Devices need not have
// matrices of sums in bf16: such a c is written element by element.
#include "shaders/factors_bf16.glsl"
#include "shaders/matmul_coopmat2.glsl"
