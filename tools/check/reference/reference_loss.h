#pragma once
// Double-precision linear + softmax cross-entropy by the definition (model/loss/linear_cross_entropy.h), whole logits, with gradients.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace lapilli::reference {

struct LossProblem {
  uint32_t tokens = 0, dim = 0, vocab = 0;
  std::vector<double> x, w;        // [N,D], [V,D]
  std::vector<uint32_t> targets;   // [N]; kIgnore: none
  std::vector<double> weights;     // [N]
  double smoothing = 0, z_loss = 0, softcap = 0, temperature = 1;
  uint32_t teacher_dim = 0;        // 0: no teacher
  std::vector<double> teacher_x, teacher_w;  // [N,Dt], [V,Dt]
  double distillation = 0, teacher_softcap = 0;
  static constexpr uint32_t kIgnore = 0xFFFFFFFF;

  bool valid(uint32_t n) const { return weights[n] != 0 && targets[n] != kIgnore; }
};

struct LossResult {
  std::vector<double> nll, lse;    // [N], 0 for masked rows
  double reach = 0;                // the largest lse - z of all rows and columns
  double weight = 0, sum_nll = 0, sum_objective = 0, top1_correct = 0, sum_z_loss = 0;
  double sum_teacher_entropy = 0, sum_teacher_cross_entropy = 0, sum_teacher_kl = 0;
  std::vector<double> d_x, d_w;    // of sum_objective / weight
  // The same sums over the absolute values of their terms, for error bounds:
  // p (1 + 2 lambda |lse|) + (1 - eps) [target] + eps / V (+ beta q) in place of dz, and the softcap's slope taken as 1.
  std::vector<double> d_x_magnitude, d_w_magnitude;
};

// The teacher's probabilities for row n, and their logarithms; empty without a teacher.
struct TeacherRow {
  std::vector<double> q, ln_q;
};
inline TeacherRow teacher_row(const LossProblem& p, uint32_t n) {
  TeacherRow row;
  if (p.teacher_dim == 0) return row;
  for (uint32_t v = 0; v < p.vocab; ++v) {
    double u = 0;
    for (uint32_t d = 0; d < p.teacher_dim; ++d) u += p.teacher_x[uint64_t{n} * p.teacher_dim + d] * p.teacher_w[uint64_t{v} * p.teacher_dim + d];
    u /= p.temperature;
    row.ln_q.push_back(p.teacher_softcap == 0 ? u : p.teacher_softcap * std::tanh(u / p.teacher_softcap));
  }
  const double largest = *std::ranges::max_element(row.ln_q);
  double sum = 0;
  for (const double z : row.ln_q) sum += std::exp(z - largest);
  for (double& z : row.ln_q) {
    z -= largest + std::log(sum);
    row.q.push_back(std::exp(z));
  }
  return row;
}

inline LossResult loss(const LossProblem& p) {
  const uint64_t n_x = uint64_t{p.tokens} * p.dim, n_w = uint64_t{p.vocab} * p.dim;
  LossResult r{.nll = std::vector<double>(p.tokens),
               .lse = std::vector<double>(p.tokens),
               .d_x = std::vector<double>(n_x),
               .d_w = std::vector<double>(n_w),
               .d_x_magnitude = std::vector<double>(n_x),
               .d_w_magnitude = std::vector<double>(n_w)};
  for (uint32_t n = 0; n < p.tokens; ++n) r.weight += p.valid(n) ? p.weights[n] : 0;
  std::vector<double> z(p.vocab), slope(p.vocab);
  for (uint32_t n = 0; n < p.tokens; ++n) {
    if (!p.valid(n)) continue;
    const double weight = p.weights[n];
    double total = 0;
    for (uint32_t v = 0; v < p.vocab; ++v) {
      double u = 0;
      for (uint32_t d = 0; d < p.dim; ++d) u += p.x[uint64_t{n} * p.dim + d] * p.w[uint64_t{v} * p.dim + d];
      u /= p.temperature;
      z[v] = p.softcap == 0 ? u : p.softcap * std::tanh(u / p.softcap);
      slope[v] = p.softcap == 0 ? 1 : 1 - (z[v] / p.softcap) * (z[v] / p.softcap);
      total += z[v];
    }
    const auto best = std::ranges::max_element(z);
    double sum = 0;
    for (const double value : z) sum += std::exp(value - *best);
    const double lse = *best + std::log(sum), mean = total / p.vocab;
    r.lse[n] = lse;
    r.nll[n] = lse - z[p.targets[n]];
    r.reach = std::max(r.reach, lse - *std::ranges::min_element(z));
    r.sum_nll += weight * r.nll[n];
    r.sum_z_loss += weight * p.z_loss * lse * lse;
    const TeacherRow teacher = teacher_row(p, n);
    const double hard = p.teacher_dim == 0 ? 1 : 1 - p.distillation;
    double entropy = 0, cross_entropy = 0;
    for (uint32_t v = 0; v < teacher.q.size(); ++v) {
      entropy -= teacher.q[v] * teacher.ln_q[v];
      cross_entropy += teacher.q[v] * (lse - z[v]);
    }
    r.sum_teacher_entropy += weight * entropy;
    r.sum_teacher_cross_entropy += weight * cross_entropy;
    r.sum_teacher_kl += weight * (cross_entropy - entropy);
    r.sum_objective +=
        weight * (hard * ((1 - p.smoothing) * r.nll[n] + p.smoothing * (lse - mean)) + (1 - hard) * cross_entropy + p.z_loss * lse * lse);
    r.top1_correct += static_cast<uint32_t>(best - z.begin()) == p.targets[n] ? weight : 0;
    for (uint32_t v = 0; v < p.vocab; ++v) {
      const double probability = std::exp(z[v] - lse), q = p.teacher_dim == 0 ? 0 : teacher.q[v];
      const double at_target = v == p.targets[n] ? hard * (1 - p.smoothing) : 0, everywhere = hard * p.smoothing / p.vocab;
      const double dz = probability * (1 + 2 * p.z_loss * lse) - at_target - everywhere - (1 - hard) * q;
      const double size = probability * (1 + 2 * p.z_loss * std::abs(lse)) + at_target + everywhere + (1 - hard) * q;
      const double scale = weight / r.weight / p.temperature, du = dz * slope[v] * scale;
      for (uint32_t d = 0; d < p.dim; ++d) {
        const uint64_t ix = uint64_t{n} * p.dim + d, iw = uint64_t{v} * p.dim + d;
        r.d_x[ix] += du * p.w[iw];
        r.d_w[iw] += du * p.x[ix];
        r.d_x_magnitude[ix] += size * scale * std::abs(p.w[iw]);
        r.d_w_magnitude[iw] += size * scale * std::abs(p.x[ix]);
      }
    }
  }
  return r;
}

// The objective for other hidden states and weights: the function whose gradients are d_x and d_w.
inline double mean_objective(LossProblem p, const std::vector<double>& x, const std::vector<double>& w) {
  p.x = x;
  p.w = w;
  const LossResult r = loss(p);
  return r.sum_objective / r.weight;
}

}  // namespace lapilli::reference
