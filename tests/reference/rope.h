#pragma once
// Rotary position embedding in double by Hugging Face's definition: x * cos + rotate_half(x) * sin, where rotate_half of
// (low half, high half) is (-high, low).

#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

struct Rope {
  uint64_t rows, context, heads, kv_heads, head_width;
  double theta;
  using Doubles = std::vector<double>;

  uint64_t row_stride() const { return (heads + 2 * kv_heads) * head_width; }

  // direction -1: the transpose, which is the backward.
  Doubles turn(Doubles qkv, double direction, Doubles* bound = nullptr) const {
    const Doubles in = qkv;
    if (bound) bound->assign(qkv.size(), 0.0);  // v passes unchanged
    for (uint64_t n = 0; n < rows; ++n)
      for (uint64_t head = 0; head < heads + kv_heads; ++head)
        for (uint64_t e = 0; e < head_width; ++e) {
          const uint64_t half = head_width / 2, base = n * row_stride() + head * head_width;
          const double angle = static_cast<double>(n % context) *
                               std::pow(theta, -2.0 * static_cast<double>(e % half) / static_cast<double>(head_width));
          const double rotated = e < half ? -in[base + e + half] : in[base + e - half];
          const double straight = in[base + e] * std::cos(angle), across = rotated * direction * std::sin(angle);
          qkv[base + e] = straight + across;
          // The table's rounding, the product's, the sum's.
          if (bound) (*bound)[base + e] = 1.01 * 3 * 0x1p-24 * (std::abs(straight) + std::abs(across));
        }
    return qkv;
  }
};

}  // namespace lapilli::reference
