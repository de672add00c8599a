#pragma once
// One step of AdamW in double, by PyTorch's documentation of torch.optim.AdamW, with bounds for the f32 kernel.

#include <algorithm>
#include <cmath>
#include <vector>

#include "tools/check/reference/reference_norm.h"

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

// The norm of gradients, and the relative bound of an f32 kernel that sums squares in chunks of 64 by workgroups, one for each of
// `blocks`.
struct GradientNorm {
  double norm, relative;
  GradientNorm(const std::vector<float>& values, double blocks, double workgroup) {
    double sum = 0;
    for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    norm = std::sqrt(sum);
    // The square, a chunk of 64, a lane's chunks, the workgroup; the lanes' blocks, the workgroup. Half of it through the
    // root, which may be off by 4.5 ULP = 9u itself.
    const double block = std::ceil(static_cast<double>(values.size()) / blocks);
    const double additions = 1 + 64 + std::ceil(block / workgroup / 64) + workgroup + std::ceil(blocks / workgroup) + workgroup;
    relative = 1.01 * kUnit * (additions / 2 + 9);
  }
  double scale(double clip) const { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0; }
  // 1e-6 and its addition, the division.
  double scale_bound(double clip) const { return scale(clip) == 1.0 ? 0 : scale(clip) * (relative + 1.01 * 7 * kUnit); }
};

}  // namespace lapilli::reference
