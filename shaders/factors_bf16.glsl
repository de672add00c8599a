// Factors of cooperative matrices: bfloat16, the upper half of an f32, rounded to nearest even.
#extension GL_KHR_memory_scope_semantics : require
#pragma use_vulkan_memory_model

#define FACTOR bfloat16_t
uint bf16_bits(float value) {
  const uint bits = floatBitsToUint(value);
  if (isnan(value)) return bits >> 16 | 0x40;  // stays a NaN: rounding could carry it into an infinity
  return bits + 0x7FFF + (bits >> 16 & 1) >> 16;
}
uint pack_factors(vec2 values) { return bf16_bits(values.x) | bf16_bits(values.y) << 16; }
const uint kFactorExponent = 0x7F80u;  // all ones: an infinity or a NaN
