#pragma once
// GELU (tanh form) and SwiGLU in double, with bounds for their f32 kernels.
//
// The GLSL specification allows exp 3 + 2|x| ULP and a division 2.5 ULP; an ULP is at most 2u, u = 2^-24. Results below the
// smallest normal number may be flushed to 0.

#include <cmath>

#include "tools/check/reference/reference_norm.h"

namespace lapilli::reference {

constexpr double kSmallest = 0x1p-126;

struct Bounded {
  double value, bound;
};

// Sigmoid at z, of which the kernel's z has the relative error z_relative.
struct Sigmoid {
  double value, slope;
  double value_relative, slope_relative;

  Sigmoid(double z, double z_relative) {
    const double tail = std::exp(-std::abs(z)), larger = 1 / (1 + tail), smaller = tail / (1 + tail);
    value = z < 0 ? smaller : larger;
    slope = larger * smaller;
    // exp, and the effect of its argument's error; above 100 the tail is 0 and kSmallest bounds its error.
    const double size = std::min(std::abs(z), 100.0);
    const double tail_relative = 2 * kUnit * (3 + 2 * size) + size * z_relative;
    // larger: an addition and a division; smaller: one more multiplication. d ln(larger) / d ln(tail) = -smaller,
    // d ln(smaller) / d ln(tail) = larger, and so for the slope larger - smaller.
    const double larger_relative = smaller * tail_relative + kUnit + kDivision;
    const double smaller_relative = larger * tail_relative + 2 * kUnit + kDivision;
    value_relative = z < 0 ? smaller_relative : larger_relative;
    slope_relative = (larger - smaller) * tail_relative + 4 * kUnit + 2 * kDivision;
  }
};

constexpr double kGeluLinear = 1.5957691216057307117597842397375, kGeluCubic = 0.044715 * kGeluLinear;

// z = x (a + b x^2): b carries 2 roundings, x^2 and the product 2 more, the sum 1, the last product 1.
inline Sigmoid gelu_sigmoid(double x) { return {x * (kGeluLinear + kGeluCubic * x * x), 6 * kUnit}; }

inline Bounded gelu(double x) {
  const Sigmoid s = gelu_sigmoid(x);
  const double y = x * s.value;
  return {y, kSecondOrder * (std::abs(y) * (s.value_relative + kUnit) + kSmallest * (1 + std::abs(x)))};
}

inline Bounded gelu_backward(double d_y, double x) {
  const Sigmoid s = gelu_sigmoid(x);
  const double bend = s.slope == 0 ? 0 : x * s.slope * (kGeluLinear + 3 * kGeluCubic * x * x), d_x = d_y * (s.value + bend);
  // z' has 6 roundings as z has, bend 2 products, then a sum and a product.
  const double error = s.value * s.value_relative + std::abs(bend) * (s.slope_relative + 8 * kUnit) + kUnit * (s.value + std::abs(bend));
  // A flushed slope loses the term x z'; where it matters (|z| about 87) that is below 200 |x|.
  return {d_x, kSecondOrder * (std::abs(d_y) * (error + kSmallest * (1 + 200 * std::min(std::abs(x), 100.0))) + kUnit * std::abs(d_x))};
}

struct Swiglu {
  static Bounded forward(double gate, double up) {
    const Sigmoid s(gate, 0);
    const double y = gate * s.value * up;
    return {y, kSecondOrder * (std::abs(y) * (s.value_relative + 2 * kUnit) + kSmallest * (1 + std::abs(gate)) * (1 + std::abs(up)))};
  }
  static Bounded d_gate(double d_y, double gate, double up) {
    const Sigmoid s(gate, 0);
    const double bend = gate * s.slope, value = d_y * up * (s.value + bend);
    const double error = s.value * s.value_relative + std::abs(bend) * (s.slope_relative + kUnit) + kUnit * (s.value + std::abs(bend));
    return {value, kSecondOrder * (std::abs(d_y * up) * (error + kSmallest * (1 + std::abs(gate))) + 2 * kUnit * std::abs(value) + kSmallest)};
  }
  static Bounded d_up(double d_y, double gate) {
    const Sigmoid s(gate, 0);
    const double value = d_y * (gate * s.value);
    return {value, kSecondOrder * (std::abs(value) * (s.value_relative + 2 * kUnit) + kSmallest * (1 + std::abs(gate)) * (1 + std::abs(d_y)))};
  }
};

}  // namespace lapilli::reference
