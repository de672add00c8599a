#pragma once
// Token and position embeddings in double, with the magnitudes that bound the rounding errors of their gradients.

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

}  // namespace lapilli::reference
