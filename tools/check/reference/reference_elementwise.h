#pragma once
// Dropout by its contract (model/ops/elementwise.h), in double, and column sums.

#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/base/philox.h"

namespace lapilli::reference {

struct Dropout {
  std::vector<uint32_t> state;  // [4]
  uint32_t stream;
  double rate;

  bool keeps(uint64_t element, uint64_t count) const {
    const uint64_t quarter = (count + 3) / 4;
    const auto words = philox4x32({static_cast<uint32_t>(element % quarter), stream, state[2], state[3]}, {state[0], state[1]});
    return static_cast<double>(words[element / quarter]) >= std::floor(rate * 0x1p32);
  }
  // The transpose of this linear map is the map itself: it is its own backward.
  std::vector<double> apply(std::vector<double> x) const {
    for (uint64_t i = 0; i < x.size(); ++i) x[i] = keeps(i, x.size()) ? x[i] / (1 - rate) : 0;
    return x;
  }
};

struct ColumnSum {
  std::vector<double> value, magnitude;
  // Of an f32 sum in which no term passes through more than `additions`.
  std::vector<double> bound(double additions) const {
    std::vector<double> bounds;
    for (const double size : magnitude) bounds.push_back(1.01 * 0x1p-24 * additions * size);
    return bounds;
  }
  ColumnSum(const std::vector<double>& values, uint64_t cols) : value(cols), magnitude(cols) {
    for (uint64_t i = 0; i < values.size(); ++i) value[i % cols] += values[i], magnitude[i % cols] += std::abs(values[i]);
  }
};

}  // namespace lapilli::reference
