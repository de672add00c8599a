// workgroup_f16.glsl without cooperative matrices: for tests.
#include "shaders/common/round16.glsl"
uint pack_factors(vec2 values) { return f16_bits(values.x) | f16_bits(values.y) << 16; }
vec2 unpack_factors(uint word) { return unpackHalf2x16(word); }
#define STORES_ROUNDED
#define EMULATED
