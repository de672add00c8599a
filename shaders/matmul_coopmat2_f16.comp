#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_EXT_shader_16bit_storage : require
#include "shaders/common.glsl"
// c = f(alpha * op(a) op(b) + bias + addend): a and b in f16, f32 sums, cooperative matrices of a workgroup.
#include "shaders/factors_f16.glsl"
#define STORES_ROUNDED
#include "shaders/matmul_coopmat2.glsl"
