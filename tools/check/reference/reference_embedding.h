#pragma once
// Token and position embeddings in double, with the magnitudes that bound the rounding errors of their gradients.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

struct Embedding {
  uint64_t rows, dim, vocab, context;
  using Doubles = std::vector<double>;

  // wpe may be empty. Every token < vocab.
  Doubles forward(const std::vector<uint32_t>& tokens, const Doubles& wte, const Doubles& wpe) const {
    Doubles x(rows * dim);
    for (uint64_t n = 0; n < rows; ++n)
      for (uint64_t i = 0; i < dim; ++i) x[n * dim + i] = wte[tokens[n] * dim + i] + (wpe.empty() ? 0 : wpe[n % context * dim + i]);
    return x;
  }

  struct Backward {
    Doubles d_wte, d_wpe;
    Doubles d_wte_magnitude, d_wpe_magnitude;  // sums of |d_x|
    Doubles token_count;                       // [vocab] terms of each sum
  };
  // Of f32 sums of terms[row] terms each that are added to `before` (or to nothing): `terms` roundings, one for the previous value.
  // A sum of no terms is not touched.
  Doubles bound(const Doubles& magnitude, const Doubles& terms, const std::vector<float>* before) const {
    Doubles bounds(magnitude.size());
    for (size_t i = 0; i < magnitude.size(); ++i)
      if (terms[i / dim] != 0)
        bounds[i] = 1.01 * 0x1p-24 * (terms[i / dim] + 1) * (magnitude[i] + (before ? std::abs(static_cast<double>((*before)[i])) : 0));
    return bounds;
  }
  Backward backward(const std::vector<uint32_t>& tokens, const Doubles& d_x) const {
    Backward b{Doubles(vocab * dim), Doubles(context * dim), Doubles(vocab * dim), Doubles(context * dim), Doubles(vocab)};
    for (uint64_t n = 0; n < rows; ++n) {
      if (tokens[n] < vocab) b.token_count[tokens[n]] += 1;
      for (uint64_t i = 0; i < dim; ++i) {
        const double value = d_x[n * dim + i];
        b.d_wpe[n % context * dim + i] += value;
        b.d_wpe_magnitude[n % context * dim + i] += std::abs(value);
        if (tokens[n] >= vocab) continue;
        b.d_wte[tokens[n] * dim + i] += value;
        b.d_wte_magnitude[tokens[n] * dim + i] += std::abs(value);
      }
    }
    return b;
  }
};

// The order of embedding_backward(): positions sorted by token, and where each token begins.
struct Segments {
  std::vector<uint32_t> order, start, count;
  explicit Segments(const std::vector<uint32_t>& tokens) : order(tokens.size()), start(tokens.size() + 1, 0xFFFFFFFFU) {
    for (uint32_t n = 0; n < order.size(); ++n) order[n] = n;
    std::ranges::stable_sort(order, {}, [&](uint32_t n) { return tokens[n]; });
    uint32_t segments = 0;
    for (uint32_t i = 0; i < order.size(); ++i)
      if (i == 0 || tokens[order[i]] != tokens[order[i - 1]]) start[segments++] = i;
    start[segments] = static_cast<uint32_t>(order.size());
    count = {segments};
  }
};

}  // namespace lapilli::reference
