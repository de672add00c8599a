#pragma once
// Helpers for tests of activations, as separate kernels and as epilogues of matmuls.

#include "tests/common/support.h"
#include "tests/reference/activation.h"

namespace lapilli::test {

// Values that matter for training, then the edges: tails where the sigmoid underflows, squares and cubes that overflow.
inline std::vector<float> awkward_values(uint32_t count, uint32_t seed) {
  const std::vector<float> edges{0.0F,  -0.0F,  1e-30F, -1e-30F, 4.0F,   -4.0F,   9.5F, -9.5F, 11.2F, -11.2F, 60.0F, -60.0F,
                                 87.5F, -87.5F, 99.0F,  -99.0F,  101.0F, -101.0F, 1e4F, -1e4F, 1e15F, -1e15F, 1e30F, -1e30F};
  std::vector<float> values = random_values(count, seed, 8.0F);
  for (size_t i = 0; i < edges.size(); ++i) values[values.size() * i / edges.size()] = edges[i];
  return values;
}

inline void expect_bounded(const std::vector<float>& actual, const std::vector<reference::Bounded>& expected, const char* what) {
  Doubles value, bound;
  for (const reference::Bounded& element : expected) value.push_back(element.value), bound.push_back(element.bound);
  expect_close(actual, value, bound, what);
}

}  // namespace lapilli::test
