#pragma once
// Double-precision matrix product by the definition, with the magnitude that bounds the rounding error.

#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

struct Strided {
  const std::vector<double>& values;
  uint64_t row, col;  // element (r, c) at r * row + c * col
  double operator()(uint64_t r, uint64_t c) const { return values[r * row + c * col]; }
};

struct MatmulResult {
  std::vector<double> value;      // [m, n]
  std::vector<double> magnitude;  // [m, n] sum over k of |a||b|: an f32 dot product of length k is off by <= (k+1) eps of it
};

inline MatmulResult matmul(const Strided& a, const Strided& b, uint64_t m, uint64_t n, uint64_t k) {
  MatmulResult result{std::vector<double>(m * n), std::vector<double>(m * n)};
  for (uint64_t i = 0; i < m; ++i)
    for (uint64_t j = 0; j < n; ++j)
      for (uint64_t l = 0; l < k; ++l) {
        const double product = a(i, l) * b(l, j);
        result.value[i * n + j] += product;
        result.magnitude[i * n + j] += std::abs(product);
      }
  return result;
}

}  // namespace lapilli::reference
