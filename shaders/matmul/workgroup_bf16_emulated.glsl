// workgroup_bf16.glsl without cooperative matrices: for tests.
#include "shaders/common/round16.glsl"
uint pack_factors(vec2 values) { return bf16_bits(values.x) | bf16_bits(values.y) << 16; }
vec2 unpack_factors(uint word) { return bf16_pair(word); }
#define EMULATED
