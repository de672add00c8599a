#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_bfloat16 : require
#include "shaders/common/common.glsl"
// Logits and their online log-sum-exp: bf16 factors, f32 sums, cooperative matrices.
const uint kContiguous = 3;  // x and w along D
#include "shaders/common/operands_bf16.glsl"
#include "shaders/matmul/matmul_coopmat.glsl"
#include "shaders/loss/loss_logits_blocks.glsl"
