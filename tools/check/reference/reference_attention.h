#pragma once
// Double-precision attention by the definition, forward and backward, with bounds on the rounding error of any f32 kernel
// that uses exp, subtracts a maximum or the lse before it, and rescales its running sums at most once in 4 keys.
//
// Derivation, u = 2^-24, first order unless said otherwise:
//   a score: q is scaled by a rounded 1/sqrt(E), then a dot product of E terms: off by (E + 3) u A, A = sum |q||k| / sqrt(E)
//   exp(x) of GLSL: 3 + 2|x| ULP, an ULP is at most 2u relative; the rounding of x itself adds u|x|: (6 + 5|x|) u relative
//   online softmax: the rescales after a key multiply it by further exps; their arguments and the key's own add up to
//     X = max - score, so all of them together cost (5 X + 7 (rescales + 1)) u
//   a factor exp(score error) is bounded with expm1, so that large scores stay covered.
// Kernels of cooperative matrices (`matrix_arithmetic`) differ in this; q, k, v and d_out must be the rounded values:
//   p, and d_s before its scale, are rounded to a 16-bit operand: operand_rounding relative, and below the normal
//   numbers operand_tiny matrix units may truncate a sum instead of rounding it: 2u for each addition
//   softmax is in base 2: scaling a score takes 2 roundings more, exp2's 3 + 2|x| ULP at x log2 e is (6 + 5.8 |x|) u and with the
//   rounding of the argument (6 + 7|x|) u; lse is multiplied by a rounded constant: 2 roundings more

#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

using Doubles = std::vector<double>;

struct AttentionSize {
  uint32_t B, T, H, G, E;
  uint64_t q_at(uint64_t b, uint64_t t, uint64_t h) const { return ((b * T + t) * (H + 2 * G) + h) * E; }
  uint64_t k_at(uint64_t b, uint64_t t, uint64_t g) const { return q_at(b, t, H + g); }
  uint64_t v_at(uint64_t b, uint64_t t, uint64_t g) const { return q_at(b, t, H + G + g); }
  uint64_t out_at(uint64_t b, uint64_t t, uint64_t h) const { return ((b * T + t) * H + h) * E; }
  uint64_t lse_at(uint64_t b, uint64_t h, uint64_t t) const { return (b * H + h) * T + t; }
  uint64_t qkv_size() const { return uint64_t{B} * T * (H + 2 * G) * E; }
  uint64_t out_size() const { return uint64_t{B} * T * H * E; }
  uint64_t lse_size() const { return uint64_t{B} * H * T; }
};

struct Dot {
  double value = 0, magnitude = 0;  // sum of products, sum of their absolute values
};
inline Dot dot(const Doubles& a, uint64_t a_at, const Doubles& b, uint64_t b_at, uint64_t count) {
  Dot sum;
  for (uint64_t e = 0; e < count; ++e) {
    sum.value += a[a_at + e] * b[b_at + e];
    sum.magnitude += std::abs(a[a_at + e] * b[b_at + e]);
  }
  return sum;
}

constexpr double kU = 0x1p-24;
constexpr double kUnderflow = 1e-37;  // an exp may be flushed to zero or clamped at the smallest normal number

struct Arithmetic {
  double operand_rounding = 0, operand_tiny = 0;
  double addition = 1;        // roundings of a sum's addition
  double score = 3;           // of a score, but for its sum
  double exponent = 5;        // of an exp, times |x|
  double lse = 1;
};
inline Arithmetic matrix_arithmetic(double operand_rounding, double operand_tiny) {
  return {.operand_rounding = operand_rounding, .operand_tiny = operand_tiny, .addition = 2, .score = 5, .exponent = 7, .lse = 3};
}

struct AttentionResult {
  Doubles out, lse;
  Doubles out_bound, lse_bound;
};

// `start` is empty or the first visible position of each token.
inline AttentionResult attention_forward(const AttentionSize& s, const Doubles& qkv, const std::vector<uint32_t>& start, const Arithmetic& a = {}) {
  AttentionResult r{Doubles(s.out_size()), Doubles(s.lse_size()), Doubles(s.out_size()), Doubles(s.lse_size())};
  const double scale = 1 / std::sqrt(static_cast<double>(s.E));
  std::vector<Dot> score(s.T);
  for (uint64_t b = 0; b < s.B; ++b)
    for (uint64_t h = 0; h < s.H; ++h)
      for (uint64_t i = 0; i < s.T; ++i) {
        const uint64_t g = h / (s.H / s.G), first = start.empty() ? 0 : start[b * s.T + i];
        const double n = static_cast<double>(i - first + 1);
        double top = -INFINITY, sum = 0;
        for (uint64_t j = first; j <= i; ++j) {
          score[j] = dot(qkv, s.q_at(b, i, h), qkv, s.k_at(b, j, g), s.E);
          top = std::max(top, score[j].value * scale);
        }
        for (uint64_t j = first; j <= i; ++j) sum += std::exp(score[j].value * scale - top);
        const uint64_t lse_at = s.lse_at(b, h, i), out_at = s.out_at(b, i, h);
        r.lse[lse_at] = top + std::log(sum);

        // Relative error of each probability's numerator, and of their sum.
        const double rescales = n / 4 + 2;
        Doubles p(s.T), p_error(s.T);
        double sum_error = (n + rescales) * kU;
        for (uint64_t j = first; j <= i; ++j) {
          const double x = top - score[j].value * scale;
          p[j] = std::exp(-x) / sum;
          p_error[j] =
              std::expm1(kU * ((a.addition * s.E + a.score) * score[j].magnitude * scale + a.exponent * x + 7 * (rescales + 1))) + kUnderflow;
          sum_error += p[j] * p_error[j];
        }
        // log: 3 ULP, but 2^-21 absolute within [0.5, 2]; then one addition.
        r.lse_bound[lse_at] =
            -std::log1p(-std::min(sum_error, 0.9)) + std::max(6 * kU * std::log(sum), 0x1p-21) + a.lse * kU * std::abs(r.lse[lse_at]);
        for (uint64_t e = 0; e < s.E; ++e) {
          double value = 0, magnitude = 0, error = 0;
          for (uint64_t j = first; j <= i; ++j) {
            const double v = qkv[s.v_at(b, j, g) + e];
            value += p[j] * v;
            magnitude += p[j] * std::abs(v);
            error += (p[j] * (p_error[j] + a.operand_rounding * (1 + p_error[j])) + a.operand_tiny + kUnderflow) * std::abs(v);
          }
          // n products and sums; the division by the sum: 2.5 ULP and one rounding.
          error += (a.addition * n + rescales + 1) * kU * magnitude + (sum_error + 6 * kU) * std::abs(value);
          r.out[out_at + e] = value;
          r.out_bound[out_at + e] = error / (1 - std::min(sum_error, 0.9));
        }
      }
  return r;
}

struct AttentionGradient {
  Doubles d_qkv, bound;
};

// The bound is for a kernel with `out` and `lse` of attention_forward, rounded to f32, as inputs.
inline AttentionGradient attention_backward(const AttentionSize& s, const Doubles& d_out, const Doubles& qkv, const AttentionResult& forward,
                                            const std::vector<uint32_t>& start, const Arithmetic& a = {}) {
  AttentionGradient r{Doubles(s.qkv_size()), Doubles(s.qkv_size())};
  const double scale = 1 / std::sqrt(static_cast<double>(s.E));
  const double terms = static_cast<double>(s.T) * static_cast<double>(s.H / s.G);  // of the longest sum
  // r += weight * x; the weight is off by weight_error, and each term has at most terms + 2 roundings.
  const auto add = [&](uint64_t to, const Doubles& x, uint64_t at, double weight, double weight_error) {
    for (uint64_t e = 0; e < s.E; ++e) {
      r.d_qkv[to + e] += weight * x[at + e];
      r.bound[to + e] += (weight_error + (a.addition * terms + 2) * kU * std::abs(weight)) * std::abs(x[at + e]);
    }
  };
  for (uint64_t b = 0; b < s.B; ++b)
    for (uint64_t h = 0; h < s.H; ++h)
      for (uint64_t i = 0; i < s.T; ++i) {
        const uint64_t g = h / (s.H / s.G), first = start.empty() ? 0 : start[b * s.T + i];
        const Dot delta = dot(d_out, s.out_at(b, i, h), forward.out, s.out_at(b, i, h), s.E);
        const double lse = forward.lse[s.lse_at(b, h, i)];
        for (uint64_t j = first; j <= i; ++j) {
          const Dot score = dot(qkv, s.q_at(b, i, h), qkv, s.k_at(b, j, g), s.E);
          const Dot d_p = dot(d_out, s.out_at(b, i, h), qkv, s.v_at(b, j, g), s.E);
          const double x = lse - score.value * scale, p = std::exp(-x);
          const double p_error =
              p * std::expm1(kU * ((a.addition * s.E + a.score) * score.magnitude * scale + a.exponent * std::abs(x) + 6 + a.lse * std::abs(lse))) +
              kUnderflow;
          const double inner = d_p.value - delta.value;
          const double inner_error = kU * ((a.addition * s.E + 1) * d_p.magnitude + (s.E + 2) * delta.magnitude + 2 * std::abs(inner));
          const double d_s = p * inner * scale;
          const double d_s_error = scale * (p_error * std::abs(inner) + (p + p_error) * inner_error);
          const double d_s_operand = d_s_error + a.operand_rounding * (std::abs(d_s) + d_s_error) + a.operand_tiny * scale;
          add(s.v_at(b, j, g), d_out, s.out_at(b, i, h), p, p_error + a.operand_rounding * (p + p_error) + a.operand_tiny);
          add(s.k_at(b, j, g), qkv, s.q_at(b, i, h), d_s, d_s_operand);
          add(s.q_at(b, i, h), qkv, s.k_at(b, j, g), d_s, d_s_operand);
        }
      }
  return r;
}

}  // namespace lapilli::reference
