// The 16-bit operand type of workgroup matrices, by the kernel's form (form.glsl). STORES_ROUNDED: devices have
// accumulator matrices of this type too. They need not for bfloat16, which is therefore stored element by element.
#if defined(EMULATED_F16) || defined(EMULATED_BF16)
#define EMULATED
#include "shaders/common/round16.glsl"
#ifdef EMULATED_F16
uint pack_operands(vec2 values) { return f16_bits(values.x) | f16_bits(values.y) << 16; }
vec2 unpack_operands(uint word) { return unpackHalf2x16(word); }
#else
uint pack_operands(vec2 values) { return bf16_bits(values.x) | bf16_bits(values.y) << 16; }
vec2 unpack_operands(uint word) { return bf16_pair(word); }
#endif
#else
#include "shaders/common/operands.glsl"
#endif
#if defined(COOPMAT2_F16) || defined(EMULATED_F16)
#define STORES_ROUNDED
#endif
