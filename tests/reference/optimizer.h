#pragma once
// One step of AdamW in double, by PyTorch's documentation of torch.optim.AdamW, with bounds for the f32 kernel.

#include <cmath>

#include "tests/reference/norm.h"

namespace lapilli::reference {

struct AdamW {
  double lr, m_correction, v_correction;  // 1 / (1 - beta1^t), 1 / (1 - beta2^t)
  double beta1, beta2, eps, weight_decay;
  double scale;

  struct Element {
    double p, m, v;
    double p_bound, m_bound, v_bound;
  };
  Element step(double p, double m, double v, double g) const {
    constexpr double u = kUnit, kRoot = kInverseSqrt + kDivision;  // sqrt is allowed what 1 / inversesqrt is
    const double scaled = g * scale;
    Element e;
    e.m = beta1 * m + (1 - beta1) * scaled;
    e.v = beta2 * v + (1 - beta2) * scaled * scaled;
    const double root = std::sqrt(e.v * v_correction), denominator = root + eps;
    const double update = lr * m_correction * e.m / denominator;
    e.p = p - lr * weight_decay * p - update;

    // g scaled: 1; the difference: 1; 1 - beta1 and the product: 2; the sum: 1.
    const double m_error = (1 - beta1) * u * (std::abs(scaled) + 3 * std::abs(scaled - m)) + u * std::abs(e.m);
    // beta2 and its product: 2; 1 - beta2, two of g and two products: 5; the sum.
    const double v_error = u * (2 * beta2 * v + 5 * (1 - beta2) * scaled * scaled + e.v) + 0x1p-126;
    // Two roots and their product; half of v's relative error, more where v is lost among denormals.
    const double root_error = root * (2 * kRoot + u) + std::sqrt((e.v + v_error) * v_correction) - root;
    const double denominator_error = root_error + u * (eps + denominator);
    // lr / (1 - beta1^t), the division, the product.
    const double update_error = std::abs(update) * (2 * u + kDivision + denominator_error / denominator) + lr * m_correction * m_error / denominator;
    e.m_bound = kSecondOrder * m_error;
    e.v_bound = kSecondOrder * v_error;
    // weight_decay and lr * weight_decay: 2 of that; 1 - that and the product: 2; the difference.
    e.p_bound = kSecondOrder * (std::abs(p) * u * (2 * lr * weight_decay + 2) + update_error + u * std::abs(e.p));
    return e;
  }
};

}  // namespace lapilli::reference
