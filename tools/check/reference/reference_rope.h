#pragma once
// Rotary position embedding in double: elements 2i and 2i + 1 of a head are the real and imaginary part of a number that is multiplied by
// e^(i angle).

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

struct Rope {
  uint64_t rows, context, rotary_heads, head_width, row_stride;
  double theta;
  using Doubles = std::vector<double>;

  // direction -1: the transpose, which is the backward. `bound`: error bound of the input on entry, of the result on
  // return.
  Doubles rotate(Doubles qkv, double direction, Doubles* bound = nullptr) const {
    for (uint64_t n = 0; n < rows; ++n)
      for (uint64_t head = 0; head < rotary_heads; ++head)
        for (uint64_t e = 0; e < head_width; e += 2) {
          const uint64_t at = n * row_stride + head * head_width + e;
          const double angle = static_cast<double>(n % context) * std::pow(theta, -static_cast<double>(e) / static_cast<double>(head_width));
          const std::complex<double> rotation = std::polar(1.0, direction * angle), in(qkv[at], qkv[at + 1]), out = in * rotation;
          qkv[at] = out.real();
          qkv[at + 1] = out.imag();
          if (bound == nullptr) continue;
          // The input's error, and the roundings of the table, the multiplication and the sum.
          const double c = std::abs(rotation.real()), s = std::abs(rotation.imag()), in_a = (*bound)[at], in_b = (*bound)[at + 1];
          const double a = std::abs(in.real()) + in_a, b = std::abs(in.imag()) + in_b;
          (*bound)[at] = c * in_a + s * in_b + kRounding * (c * a + s * b);
          (*bound)[at + 1] = s * in_a + c * in_b + kRounding * (s * a + c * b);
        }
    return qkv;
  }
  static constexpr double kRounding = 1.01 * 3 * 0x1p-24;
};

}  // namespace lapilli::reference
