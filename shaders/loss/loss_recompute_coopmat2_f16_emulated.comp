#version 460
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_memory_scope_semantics : require
#include "shaders/common/common.glsl"
// loss_recompute_coopmat2_f16.comp without cooperative matrices: for tests.
#include "shaders/matmul/workgroup_f16_emulated.glsl"
#include "shaders/loss/loss_recompute_coopmat2.glsl"
