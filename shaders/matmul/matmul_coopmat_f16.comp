#version 460
#extension GL_KHR_cooperative_matrix : require
#include "shaders/common/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend): f16 factors, f32 sums, cooperative matrices.
layout(constant_id = SPEC_VARIANT) const uint kContiguous = 0;
#include "shaders/common/operands_f16.glsl"
#include "shaders/matmul/matmul_coopmat.glsl"
#include "shaders/matmul/matmul_coopmat_store.glsl"
