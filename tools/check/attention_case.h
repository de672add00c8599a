#pragma once
// Attention to check: inputs, documents, operands' values, and what memory of 16 bits adds to a bound.

#include <random>

#include "model/attention/attention.h"
#include "tools/check/reference/reference_attention.h"
#include "tools/check/values.h"

namespace lapilli::check {

using reference::AttentionSize;

// A family of kernels, and its memory types.
struct AttentionForm {
  KernelClass kernel_class;
  Precision precision = Precision::f32;
  DType inputs = DType::f32, outputs = DType::f32;
};

inline double smallest_operand(Precision precision) { return precision == Precision::f16 ? 0x1p-25 : reference::kUnderflow; }

inline reference::Arithmetic arithmetic_of(const AttentionForm& form) {
  return form.kernel_class == KernelClass::coopmat ? reference::matrix_arithmetic(operand_rounding(form.precision), smallest_operand(form.precision))
                                                   : reference::Arithmetic{};
}

// 16-bit operands and memory have the values rounded once: the reference starts from rounded values.
inline Doubles as_operands(const std::vector<float>& values, Precision precision) { return widen(stored(values, storage_type(precision))); }

// The bound after one more rounding, to 16-bit memory.
inline Doubles in_memory(const Doubles& values, Doubles bound, const AttentionForm& form) {
  if (form.outputs != DType::f32)
    for (size_t i = 0; i < values.size(); ++i)
      bound[i] += operand_rounding(form.precision) * (std::abs(values[i]) + bound[i]) + smallest_operand(form.precision);
  return bound;
}

// Queries and keys within [-scale, scale], values within [-1, 1].
inline std::vector<float> random_qkv(const AttentionSize& size, float scale) {
  auto qkv = random_values(size.qkv_size(), 11);
  const uint64_t row = uint64_t{size.H + 2 * size.G} * size.E, scaled = uint64_t{size.H + size.G} * size.E;
  for (uint64_t i = 0; i < qkv.size(); ++i)
    if (i % row < scaled) qkv[i] *= scale;
  return qkv;
}

// Documents of random lengths, mostly a third of the context; the first may begin anywhere.
inline std::vector<uint32_t> document_starts(const AttentionSize& size) {
  std::mt19937 generator(5);
  std::vector<uint32_t> starts;
  for (uint32_t b = 0; b < size.B; ++b)
    for (uint32_t t = 0, first = 0; t < size.T; ++t) {
      if (generator() % (size.T / 3 + 1) == 0) first = t;
      starts.push_back(first);
    }
  return starts;
}

}  // namespace lapilli::check
