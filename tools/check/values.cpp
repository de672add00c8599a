#include "tools/check/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "engine/base/error.h"

namespace lapilli::check {

std::vector<float> random_values(uint64_t count, uint32_t seed, float scale) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

std::vector<float> small_integers(uint64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(generator() % 7) - 3);
  return values;
}

std::vector<float> awkward_values(uint32_t count, uint32_t seed) {
  const std::vector<float> edges{0.0F,  -0.0F,  1e-30F, -1e-30F, 4.0F,   -4.0F,   9.5F, -9.5F, 11.2F, -11.2F, 60.0F, -60.0F,
                                 87.5F, -87.5F, 99.0F,  -99.0F,  101.0F, -101.0F, 1e4F, -1e4F, 1e15F, -1e15F, 1e30F, -1e30F};
  std::vector<float> values = random_values(count, seed, 8.0F);
  for (size_t i = 0; i < edges.size(); ++i) values[values.size() * i / edges.size()] = edges[i];
  return values;
}

Doubles widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

std::vector<float> narrow(const Doubles& values) {
  std::vector<float> floats;
  for (const double value : values) floats.push_back(static_cast<float>(value));
  return floats;
}

uint16_t round_to_bits(float value, DType dtype) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (dtype == DType::bf16) {
    if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  CHECK(dtype == DType::f16, "not a type of 16 bits");
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const double magnitude = std::abs(static_cast<double>(value));
  if (std::isnan(value)) return sign | 0x7E00;
  if (magnitude >= 65520) return sign | 0x7C00;
  // Steps between neighbours: 2^-24 below 2^-14, then 2^-10 of the power of two. Counted, they are the bits.
  const int exponent = std::max(magnitude == 0 ? -14 : std::ilogb(magnitude), -14);
  const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  return static_cast<uint16_t>(sign + static_cast<int>(steps) + (exponent + 14) * 1024);
}

float widen_bits(uint16_t bits, DType dtype) {
  if (dtype == DType::bf16) return std::bit_cast<float>(uint32_t{bits} << 16);
  CHECK(dtype == DType::f16, "not a type of 16 bits");
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 31 ? (mantissa == 0 ? std::numeric_limits<double>::infinity() : std::nan(""))
                                          : std::ldexp(exponent == 0 ? mantissa : 1024 + mantissa, std::max(exponent, 1) - 25);
  return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

std::vector<float> stored(std::vector<float> values, DType dtype) {
  if (size_bytes(dtype) == 2)
    for (float& value : values) value = widen_bits(round_to_bits(value, dtype), dtype);
  return values;
}

Comparison compare(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound) {
  Comparison result{.count = actual.size()};
  if (actual.size() != expected.size() || bound.size() != expected.size()) {
    result.wrong = 1;
    result.worst_share = std::numeric_limits<double>::infinity();
    result.text = fmt::format("{} elements, expected {} with {} bounds", actual.size(), expected.size(), bound.size());
    return result;
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    const bool right = error <= bound[i];  // false for NaN
    const double share = error == 0 || bound[i] == std::numeric_limits<double>::infinity() ? 0
                         : std::isnan(error) || bound[i] == 0                              ? std::numeric_limits<double>::infinity()
                                                                                           : error / bound[i];
    if (!right && result.wrong++ == 0) result.first = result.worst = i;
    if (share <= result.worst_share) continue;
    result.worst_share = share;
    if (!right) result.worst = i;
  }
  if (result.wrong == 0) return result;
  const auto element = [&](size_t i) { return fmt::format("[{}] = {:.9g}, expected {:.9g} +- {:.3g}", i, actual[i], expected[i], bound[i]); };
  result.text = fmt::format("{} of {} elements out of bounds; first {}", result.wrong, result.count, element(result.first));
  if (result.worst != result.first) result.text += fmt::format("; worst {}, {:.3g} x the bound", element(result.worst), result.worst_share);
  return result;
}

Doubles bound_of_roundings(const Doubles& expected, double roundings, double floor) {
  Doubles bound(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) bound[i] = roundings * kEpsilon * std::max(std::abs(expected[i]), floor);
  return bound;
}

}  // namespace lapilli::check
