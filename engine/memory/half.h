#pragma once
// Rounding to 16 bits on the host, nearest even, bit for bit as shaders/common/round16.glsl does it; and back.

#include <bit>

#include "engine/memory/tensor.h"

namespace lapilli {

inline uint16_t f16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  uint32_t rounded = (magnitude - (112U << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
  if (magnitude < 113U << 23) rounded = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - std::bit_cast<uint32_t>(0.5F);
  if (magnitude >= 143U << 23) rounded = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
  return static_cast<uint16_t>(sign | rounded);
}
inline uint16_t bf16_bits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
// REQUIRES: a type of 16 bits.
inline uint16_t half_bits(float value, DType dtype) {
  CHECK(size_bytes(dtype) == 2, "not a type of 16 bits");
  return dtype == DType::f16 ? f16_bits(value) : bf16_bits(value);
}
inline float half_value(uint16_t bits, DType dtype) {
  if (dtype == DType::bf16) return std::bit_cast<float>(uint32_t{bits} << 16);
  const uint32_t magnitude = bits & 0x7FFF;
  const float value = magnitude < 0x400 ? static_cast<float>(magnitude) * 0x1p-24F
                                        : std::bit_cast<float>((magnitude << 13) + (magnitude < 0x7C00 ? 0x38000000U : 0x70000000U));
  return (bits & 0x8000) != 0 ? -value : value;
}

}  // namespace lapilli
