#pragma once
// Gradients by central differences, in double: the check of a reference's backward against its forward.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace lapilli::reference {

// sum of weights[i] * y[i]: makes a scalar of an output, whose gradient with respect to y is `weights`.
inline double dot(const std::vector<double>& weights, const std::vector<double>& y) {
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
  return sum;
}

// d loss / d x by central differences. For values and third derivatives of order 1 to 100 the truncation error h^2/6 * f'''
// is below 2e-9 and the rounding error 2^-52 * |f| / h below 3e-9 with h = 1e-5; 1e-6 leaves a margin, and a wrong
// formula differs in the first digits.
inline void expect_gradient(const std::function<double(const std::vector<double>&)>& loss, std::vector<double> x, const std::vector<double>& gradient,
                            const char* what) {
  constexpr double kStep = 1e-5;
  ASSERT_EQ(x.size(), gradient.size()) << what;
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + kStep;
    const double above = loss(x);
    x[i] = at - kStep;
    const double below = loss(x);
    x[i] = at;
    ASSERT_NEAR((above - below) / (2 * kStep), gradient[i], 1e-6 * std::max(1.0, std::abs(gradient[i]))) << what << "[" << i << "]";
  }
}

}  // namespace lapilli::reference
