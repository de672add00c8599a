#pragma once
// Matmuls to check: shapes in all three layouts, expected results and their bounds.

#include "model/matmul/matmul.h"
#include "tools/check/reference/reference_matmul.h"
#include "tools/check/values.h"

namespace lapilli::check {

enum class Layout { nn, nt, tn };
constexpr const char* kLayoutNames[] = {"nn", "nt", "tn"};
struct MatmulCase {
  Layout layout;
  uint32_t m, n, k;
};

inline void record(Ops& ops, Layout layout, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  switch (layout) {
    case Layout::nn: return matmul_nn(ops, c, a, b, into, options);
    case Layout::nt: return matmul_nt(ops, c, a, b, into, options);
    case Layout::tn: return matmul_tn(ops, c, a, b, into, options);
  }
}

inline Shape a_shape(const MatmulCase& p) { return p.layout == Layout::tn ? Shape{p.k, p.m} : Shape{p.m, p.k}; }
inline Shape b_shape(const MatmulCase& p) { return p.layout == Layout::nt ? Shape{p.n, p.k} : Shape{p.k, p.n}; }

inline reference::MatmulResult expected(const MatmulCase& p, const Doubles& a, const Doubles& b) {
  const reference::Strided as = p.layout == Layout::tn ? reference::Strided{a, 1, p.m} : reference::Strided{a, p.k, 1};
  const reference::Strided bs = p.layout == Layout::nt ? reference::Strided{b, 1, p.k} : reference::Strided{b, p.n, 1};
  return reference::matmul(as, bs, p.m, p.n, p.k);
}

struct BoundedResult {
  Doubles value, bound;
};
// c = 2 * 0.25 * op(a) op(b) + bias + addend, stored; then c += op(a) op(b). a and b in f32 memory or rounded to operands.
inline BoundedResult bias_addend_and_accumulate(const MatmulCase& p, const std::vector<float>& a, const std::vector<float>& b,
                                                const std::vector<float>& bias, const std::vector<float>& addend, Precision precision, DType c) {
  const reference::MatmulResult product = expected(p, widen(a), widen(b));
  const double factor = operand_rounding(precision), store = storage_rounding(c), least = storage_floor(c);
  BoundedResult result{Doubles(product.value.size()), Doubles(product.value.size())};
  for (size_t i = 0; i < product.value.size(); ++i) {
    const double extra = std::abs(static_cast<double>(bias[i % p.n])) + std::abs(static_cast<double>(addend[i]));
    result.value[i] = 1.5 * product.value[i] + static_cast<double>(bias[i % p.n]) + static_cast<double>(addend[i]);
    // Two dot products of k terms, then four more roundings of values no larger than the sum of magnitudes; and the operands'.
    double& bound = result.bound[i];
    bound = kEpsilon * ((p.k + 1.0) * 1.5 * product.magnitude[i] + 4 * (1.5 * product.magnitude[i] + extra)) +
            (2 * factor + factor * factor) * 1.5 * product.magnitude[i] * (1 + (p.k + 1.0) * kEpsilon);
    // c is stored twice, and the error of the first store propagates through the second.
    bound += store * (2 + store) * (1.5 * product.magnitude[i] + extra + bound) + 2 * least;
  }
  return result;
}

}  // namespace lapilli::check
