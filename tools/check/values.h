#pragma once
// Numbers for checks of kernels: inputs, conversions, the rounding of 16-bit types, and what a rounding costs. Independent of the
// program's own conversions (engine/memory/half.h).

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/memory/dtype.h"

namespace lapilli::check {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon() / 2;  // one rounding of f32, relative

using Doubles = std::vector<double>;

std::vector<float> random_values(uint64_t count, uint32_t seed, float scale = 1.0F);  // uniform in [-scale, scale]
// Inputs of small integers make every product and sum exact, so that a wrong element cannot hide in a tolerance.
std::vector<float> small_integers(uint64_t count, uint32_t seed);
// Values that matter for training, then the edges: tails where the sigmoid underflows, squares and cubes that overflow.
std::vector<float> awkward_values(uint32_t count, uint32_t seed);

Doubles widen(const std::vector<float>& values);
std::vector<float> narrow(const Doubles& values);
// To f16 or bf16, nearest even, and back. NaN stays NaN.
uint16_t round_to_bits(float value, DType dtype);
float widen_bits(uint16_t bits, DType dtype);
// Values after a round trip through `dtype`; unchanged for f32.
std::vector<float> stored(std::vector<float> values, DType dtype);

// Half a unit in the last place of an operand, relative; 0 if operands are not rounded.
constexpr double operand_rounding(Precision precision) { return precision == Precision::f16 ? 0x1p-11 : precision == Precision::bf16 ? 0x1p-8 : 0; }

// The same for a stored element, and its absolute error when it is tiny.
constexpr double storage_rounding(DType dtype) { return dtype == DType::f16 ? 0x1p-11 : dtype == DType::bf16 ? 0x1p-8 : 0; }
constexpr double storage_floor(DType dtype) { return dtype == DType::f16 ? 0x1p-25 : 0; }

// ---- comparison with a reference ----

struct Comparison {
  size_t count = 0, wrong = 0;    // elements; those out of bounds
  size_t first = 0, worst = 0;    // of the wrong ones
  double worst_share = 0;         // the largest error as a share of its bound; infinite for NaN, or where the bound is 0
  std::string text;               // empty: all within bounds. "2 of 35 elements out of bounds; first [3] = 1, expected ..."
};
// |actual[i] - expected[i]| <= bound[i] for every element; a NaN fails. Different lengths fail.
Comparison compare(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound);
// The bound of values that are rounded a few times: roundings * kEpsilon * max(|expected|, floor).
Doubles bound_of_roundings(const Doubles& expected, double roundings, double floor);

}  // namespace lapilli::check
