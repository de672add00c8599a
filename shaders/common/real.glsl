// Tensors whose elements are f32, f16 or bf16. The type is a specialization constant (kF32, kF16, kBF16), so that
// conditions on it are folded.
//
// 16-bit elements are read and written as 32-bit words, which every device supports. Two invocations writing halves of
// one word would race: so a kernel that stores 16 bits processes kStep = 2 adjacent elements, the first an even one.
// Otherwise kStep is 1. Pointer casts go through uvec2: SwiftShader aborts at a cast from pointer to pointer.
#include "shaders/common/round16.glsl"

layout(constant_id = SPEC_C_TYPE) const uint kOutType = kF32;  // of what the kernel writes
const uint kStep = kOutType == kF32 ? 1 : 2;

float load_real(InReal from, uint type, uint i) {
  if (type == kF32) return InF32(uvec2(from)).at[i];
  const uint bits = InU32(uvec2(from)).at[i / 2] >> 16 * (i % 2);
  return type == kF16 ? unpackHalf2x16(bits & 0xFFFF).x : uintBitsToFloat(bits << 16);
}
// Elements i and i + 1 of 16 bits; i is even.
vec2 load_halves(InReal from, uint type, uint i) {
  const uint word = InU32(uvec2(from)).at[i / 2];
  return type == kF16 ? unpackHalf2x16(word) : bf16_pair(word);
}
// Elements i .. i + kStep - 1; i is a multiple of kStep.
vec2 load_reals(InReal from, uint type, uint i) {
  if (kStep == 1) return vec2(load_real(from, type, i), 0.0);
  if (type == kF32) return vec2(InF32(uvec2(from)).at[i], InF32(uvec2(from)).at[i + 1]);
  return load_halves(from, type, i);
}
void store_reals(OutReal to, uint i, vec2 values) {
  if (kOutType == kF32) OutF32(uvec2(to)).at[i] = values.x;
  else if (kOutType == kF16) OutU32(uvec2(to)).at[i / 2] = f16_bits(values.x) | f16_bits(values.y) << 16;
  else OutU32(uvec2(to)).at[i / 2] = bf16_bits(values.x) | bf16_bits(values.y) << 16;
}
