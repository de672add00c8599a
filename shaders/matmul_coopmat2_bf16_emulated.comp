#version 460
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_memory_scope_semantics : require
#include "shaders/common.glsl"
// matmul_coopmat2_bf16.comp without cooperative matrices: for tests.
#include "shaders/round16.glsl"
uint pack_factors(vec2 values) { return bf16_bits(values.x) | bf16_bits(values.y) << 16; }
vec2 unpack_factors(uint word) { return bf16_pair(word); }
#define EMULATED
#include "shaders/matmul_coopmat2.glsl"
