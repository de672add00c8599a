#pragma once
// LayerNorm and RMSNorm in double, with bounds for their f32 kernels.
//
// Rounding counts: u = 2^-24 is one rounding, relative; an ULP of the GLSL specification is at most 2u; a division is
// allowed 2.5 ULP = 5u, inversesqrt 2 ULP = 4u. A sum of n terms in which no term passes through more than r additions is
// off by at most r * u * (sum of magnitudes). Bounds are first order; kSecondOrder covers the products of errors.

#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

constexpr double kUnit = 0x1p-24;
constexpr double kDivision = 5 * kUnit, kInverseSqrt = 4 * kUnit;
constexpr double kSecondOrder = 1.01;

// Additions a term passes through in a row reduction: its lane's, then the workgroup's in any order.
inline double row_sum_roundings(uint64_t terms, uint64_t workgroup) {
  const uint64_t of_lane = (terms + workgroup - 1) / workgroup;
  return static_cast<double>(of_lane + workgroup);
}

struct Norm {
  uint64_t rows, dim;
  bool centred;  // LayerNorm; else RMSNorm
  double eps;

  using Doubles = std::vector<double>;
  struct Forward {
    Doubles y, mean, rstd;                    // mean stays 0 for RMSNorm
    Doubles y_bound, mean_bound, rstd_bound;  // of an f32 kernel whose row sums take `roundings`
  };
  Forward forward(const Doubles& x, const Doubles& weight, const Doubles& bias, double roundings) const;

  struct Backward {
    Doubles d_x, d_weight, d_bias;
    Doubles d_x_bound, d_weight_bound, d_bias_bound;
  };
  // row_roundings as above; column_roundings: additions a term passes through on its way to d_weight.
  Backward backward(const Doubles& d_y, const Doubles& x, const Doubles& mean, const Doubles& rstd, const Doubles& weight, double row_roundings,
                    double column_roundings) const;
};

inline Norm::Forward Norm::forward(const Doubles& x, const Doubles& weight, const Doubles& bias, double roundings) const {
  Forward f{Doubles(rows * dim), Doubles(rows), Doubles(rows), Doubles(rows * dim), Doubles(rows), Doubles(rows)};
  const double d = static_cast<double>(dim);
  for (uint64_t row = 0; row < rows; ++row) {
    const double* xs = &x[row * dim];
    double mean = 0, magnitude = 0;
    for (uint64_t i = 0; centred && i < dim; ++i) mean += xs[i] / d, magnitude += std::abs(xs[i]) / d;
    // A sum, then a division.
    const double mean_error = (roundings * kUnit + kDivision) * magnitude;

    // Differences are off by mean_error + u|c|, their squares by 2|c| times that and its square; then the sum, the
    // rounding of the square, the division.
    double variance = 0, variance_error = 0;
    for (uint64_t i = 0; i < dim; ++i) {
      const double c = xs[i] - mean, c_error = mean_error + (centred ? kUnit * std::abs(c) : 0);
      variance += c * c / d;
      variance_error += (2 * std::abs(c) * c_error + c_error * c_error) / d;
    }
    variance_error += ((roundings + 1) * kUnit + kDivision) * variance;
    const double rstd = 1 / std::sqrt(variance + eps);
    // The addition of eps, the root (the derivative of v^-1/2 is -1/2 v^-3/2, largest at the small end), inversesqrt.
    const double low = std::max(variance + eps - variance_error, eps * (1 - 2 * kUnit));
    const double rstd_relative = (1 / std::sqrt(low) - rstd) / rstd + kUnit / 2 + kInverseSqrt;

    f.mean[row] = mean, f.mean_bound[row] = mean_error * kSecondOrder;
    f.rstd[row] = rstd, f.rstd_bound[row] = rstd_relative * rstd * kSecondOrder;
    for (uint64_t i = 0; i < dim; ++i) {
      const double c = xs[i] - mean, scaled = c * rstd * weight[i], shift = bias.empty() ? 0 : bias[i];
      f.y[row * dim + i] = scaled + shift;
      // The difference, rstd, two products, the sum with the bias.
      f.y_bound[row * dim + i] = kSecondOrder * ((mean_error + kUnit * std::abs(c)) * rstd * std::abs(weight[i]) * (1 + rstd_relative) +
                                                 std::abs(scaled) * (rstd_relative + 2 * kUnit) + kUnit * std::abs(scaled + shift));
    }
  }
  return f;
}

inline Norm::Backward Norm::backward(const Doubles& d_y, const Doubles& x, const Doubles& mean, const Doubles& rstd, const Doubles& weight,
                                     double row_roundings, double column_roundings) const {
  Backward b{Doubles(rows * dim), Doubles(dim), Doubles(dim), Doubles(rows * dim), Doubles(dim), Doubles(dim)};
  const double d = static_cast<double>(dim);
  for (uint64_t row = 0; row < rows; ++row) {
    const auto g = [&](uint64_t i) { return d_y[row * dim + i] * weight[i]; };
    const auto x_hat = [&](uint64_t i) { return (x[row * dim + i] - mean[row]) * rstd[row]; };
    double mean_g = 0, mean_g_size = 0, mean_gx = 0, mean_gx_size = 0;
    for (uint64_t i = 0; i < dim; ++i) {
      if (centred) mean_g += g(i) / d, mean_g_size += std::abs(g(i)) / d;
      mean_gx += g(i) * x_hat(i) / d;
      mean_gx_size += std::abs(g(i) * x_hat(i)) / d;
    }
    // g is rounded once, x_hat twice, their product once more; sums; divisions.
    const double mean_g_error = ((row_roundings + 1) * kUnit + kDivision) * mean_g_size;
    const double mean_gx_error = ((row_roundings + 4) * kUnit + kDivision) * mean_gx_size;
    for (uint64_t i = 0; i < dim; ++i) {
      const uint64_t at = row * dim + i;
      b.d_x[at] = rstd[row] * (g(i) - mean_g - x_hat(i) * mean_gx);
      // g rounded; x_hat and its product: 3; two subtractions and the product with rstd: 3 of everything.
      const double size = std::abs(g(i)) + std::abs(mean_g) + std::abs(x_hat(i) * mean_gx);
      b.d_x_bound[at] = kSecondOrder * rstd[row] *
                        (kUnit * (std::abs(g(i)) + 3 * std::abs(x_hat(i) * mean_gx) + 3 * size) + mean_g_error + std::abs(x_hat(i)) * mean_gx_error);
      b.d_weight[i] += d_y[at] * x_hat(i);
      b.d_bias[i] += d_y[at];
      // x_hat 2 and the product 1, then the additions.
      b.d_weight_bound[i] += kSecondOrder * kUnit * (column_roundings + 3) * std::abs(d_y[at] * x_hat(i));
      b.d_bias_bound[i] += kSecondOrder * kUnit * column_roundings * std::abs(d_y[at]);
    }
  }
  return b;
}

}  // namespace lapilli::reference
