#version 460
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_memory_scope_semantics : require
#include "shaders/common.glsl"
// matmul_coopmat2_f16.comp without cooperative matrices: for tests.
#include "shaders/round16.glsl"
uint pack_factors(vec2 values) { return f16_bits(values.x) | f16_bits(values.y) << 16; }
vec2 unpack_factors(uint word) { return unpackHalf2x16(word); }
#define STORES_ROUNDED
#define EMULATED
#include "shaders/matmul_coopmat2.glsl"
