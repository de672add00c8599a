#pragma once
// Helpers for tests of activations, as separate kernels and as epilogues of matmuls.

#include "tests/common/support.h"
#include "tools/check/reference/reference_activation.h"

namespace lapilli::test {

inline void expect_bounded(const std::vector<float>& actual, const std::vector<reference::Bounded>& expected, const char* what) {
  Doubles value, bound;
  for (const reference::Bounded& element : expected) value.push_back(element.value), bound.push_back(element.bound);
  expect_close(actual, value, bound, what);
}

}  // namespace lapilli::test
