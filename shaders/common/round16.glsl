// Rounding to 16 bits with integers, nearest even: the same on every device. (The rounding of packHalf2x16 is up to the
// driver; Mesa truncates, and saturates to 65504.)

// f16: infinite from 65520 on; a NaN stays a NaN.
uint f16_bits(float value) {
  const uint sign = floatBitsToUint(value) >> 16 & 0x8000, magnitude = floatBitsToUint(value) & 0x7FFFFFFF;
  // Changes the exponent bias (127 to 15) and drops 13 bits.
  uint bits = magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1) >> 13;
  // Below 2^-14 it counts steps of 2^-24, and so does the last bit of what lies above 0.5.
  if (magnitude < 113u << 23) bits = floatBitsToUint(uintBitsToFloat(magnitude) + 0.5) - floatBitsToUint(0.5);
  if (magnitude >= 143u << 23) bits = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
  return sign | bits;
}

// bf16, the upper half of an f32.
uint bf16_bits(float value) {
  const uint bits = floatBitsToUint(value);
  if (isnan(value)) return bits >> 16 | 0x40;  // stays a NaN: rounding could carry it into an infinity
  return bits + 0x7FFF + (bits >> 16 & 1) >> 16;
}
vec2 bf16_pair(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xFFFF0000)); }
