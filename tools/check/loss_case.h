#pragma once
// The loss to check: problems, partitions of the logits, a run on the device, and error bounds.

#include <cmath>
#include <optional>
#include <random>

#include "model/loss/linear_cross_entropy.h"
#include "shaders/loss/args.h"
#include "tools/check/kernel_bench.h"
#include "tools/check/reference/reference_loss.h"

namespace lapilli::check {

using reference::LossProblem;
using reference::LossResult;

// ---- partitions of a batch, and kernels ----

// Any possible plan, independent of plan_loss() and a budget.
struct Partition {
  std::string name;
  uint32_t row_chunk, chunk, logits_buffers;  // logits buffers 0: evaluation
};
inline LossPlan plan_of(const LossProblem& p, const Partition& partition) {
  LossPlan plan{.strategy = LossStrategy::vocab, .row_chunk = std::min(partition.row_chunk, p.tokens), .chunk = std::min(partition.chunk, p.vocab)};
  plan.row_chunks = static_cast<uint32_t>(ceil_div(p.tokens, plan.row_chunk));
  plan.chunks = static_cast<uint32_t>(ceil_div(p.vocab, plan.chunk));
  plan.logits_buffers = std::min(partition.logits_buffers, plan.chunks);
  return plan;
}
// full, tokens, vocab, vocab with some logits kept, and all of them together. `row_chunk` and `chunk` divide nothing.
inline std::vector<Partition> partitions_of(const LossProblem& p, uint32_t row_chunk, uint32_t chunk) {
  const uint32_t all = 0xFFFFFFFF;
  return {{"full", p.tokens, p.vocab, all},
          {"tokens", row_chunk, p.vocab, all},
          {"vocab, one logits buffer", p.tokens, chunk, 1},
          {"vocab, two logits buffers", p.tokens, chunk, 2},
          {"vocab, all kept", p.tokens, chunk, all},
          {"ranges and chunks, two logits buffers", row_chunk, chunk, 2}};
}

// The nearest width that a kernel supports in every partition.
inline uint32_t taken_dim(const MatmulKernel& kernel, uint32_t dim) {
  return kernel.kernel_class == KernelClass::coopmat2 ? static_cast<uint32_t>(round_up(dim, 8)) : dim;
}
// The problem with zeros added to x and w up to that width.
inline Doubles widened(const Doubles& values, uint32_t dim, uint32_t wider) {
  Doubles rows(values.size() / dim * wider);
  for (size_t i = 0; i < values.size(); ++i) rows[i / dim * wider + i % dim] = values[i];
  return rows;
}
inline LossProblem taken(LossProblem p, const MatmulKernel& kernel) {
  const uint32_t wider = taken_dim(kernel, p.dim);
  p.x = widened(p.x, p.dim, wider);
  p.w = widened(p.w, p.dim, wider);
  p.dim = wider;
  return p;
}
// ---- problems ----

// Inputs are multiples of 1/16: every dot product of up to 2^15 of them is exact in f32, in any order.
inline Doubles few_bits(Doubles values) {
  for (double& value : values) value = std::round(16 * value) / 16;
  return values;
}
// To the nearest values of a type of operands (normal ones).
inline Doubles rounded(Doubles values, Precision precision) {
  if (precision == Precision::f32) return values;
  const double steps = 0.5 / operand_rounding(precision);  // of a significand between 0.5 and 1: twice as many as between 1 and 2
  for (double& value : values) {
    int exponent = 0;
    const double significand = std::frexp(value, &exponent);
    value = std::ldexp(std::round(significand * 2 * steps) / (2 * steps), exponent);
  }
  return values;
}
inline LossProblem make_problem(uint32_t tokens, uint32_t dim, uint32_t vocab, uint32_t seed, float x_scale = 1.0F) {
  LossProblem p{.tokens = tokens, .dim = dim, .vocab = vocab};
  p.x = few_bits(widen(random_values(uint64_t{tokens} * dim, seed, x_scale)));
  p.w = few_bits(widen(random_values(uint64_t{vocab} * dim, seed + 1, 2.0F)));
  std::mt19937 generator(seed + 2);
  for (uint32_t n = 0; n < tokens; ++n) {
    p.targets.push_back(n + 1 == tokens ? vocab - 1 : static_cast<uint32_t>(generator() % vocab));  // one in the last tile
    p.weights.push_back(1);
  }
  return p;
}

// x is the identity: row n of the logits is rows[n], to the last bit. D = N.
inline LossProblem with_logits(const std::vector<std::vector<double>>& rows, std::vector<uint32_t> targets) {
  const auto n = static_cast<uint32_t>(rows.size()), vocab = static_cast<uint32_t>(rows[0].size());
  LossProblem p{
      .tokens = n, .dim = n, .vocab = vocab, .x = Doubles(uint64_t{n} * n), .w = Doubles(uint64_t{n} * vocab), .targets = std::move(targets)};
  p.weights.assign(n, 1);
  for (uint32_t i = 0; i < n; ++i) {
    p.x[uint64_t{i} * n + i] = 1;
    for (uint32_t v = 0; v < vocab; ++v) p.w[uint64_t{v} * n + i] = rows[i][v];
  }
  return p;
}

// ---- a run ----

struct LossRun {
  std::vector<float> nll, d_x, d_w;
  LossSums sums;
  std::vector<uint32_t> status;
};
struct RunOptions {
  std::optional<MatmulKernel> force = std::nullopt;
  uint32_t padding = 0;                                // extra rows of w beyond V, full of NaN
  std::vector<float> d_w_before;                       // accumulate into these
  std::vector<float> x;                                // instead of the problem's (garbage in masked rows)
  std::optional<double> inverse_weight = std::nullopt;  // 1 / the weight of the problem
  DType x_type = DType::f32, w_type = DType::f32;
  uint32_t row_subgroups = 0;  // as in Ops
};

inline double weight_of(const LossProblem& p) {
  double weight = 0;
  for (uint32_t n = 0; n < p.tokens; ++n) weight += p.valid(n) ? p.weights[n] : 0;
  return weight;
}

// The tensors of a run, and its recording.
class LossCase {
 public:
  LossCase(KernelBench& bench, const LossProblem& p, const LossPlan& plan, const RunOptions& options = {})
      : plan_(plan), into_(options.d_w_before.empty() ? Into::overwrite : Into::accumulate), row_subgroups_(options.row_subgroups) {
    const LossOptions loss_options{.label_smoothing = static_cast<float>(p.smoothing),
                                   .z_loss = static_cast<float>(p.z_loss),
                                   .softcap = static_cast<float>(p.softcap),
                                   .temperature = static_cast<float>(p.temperature)};
    std::vector<float> w = narrow(p.w);
    w.resize(w.size() + uint64_t{options.padding} * p.dim, std::nanf(""));
    const double weight = weight_of(p);
    const uint32_t rows = p.vocab + options.padding;
    const bool in_16_bits = options.force && options.force->kernel_class == KernelClass::coopmat2;
    inputs_.x = bench.input({p.tokens, p.dim}, options.x.empty() ? narrow(p.x) : options.x, options.x_type);
    inputs_.w = bench.input({rows, p.dim}, w, in_16_bits ? storage_type(options.force->precision) : options.w_type);
    inputs_.targets = bench.input({p.tokens}, p.targets);
    inputs_.weights = bench.input({p.tokens}, narrow(p.weights));
    inverse_weight_ = bench.input({1}, narrow({options.inverse_weight.value_or(weight == 0 ? 0 : 1 / weight)}));
    outputs_ = {.nll = bench.output({p.tokens}), .sums = bench.output({args::kSumCount}), .status = bench.output({args::kStatusWords}, DType::u32)};
    d_x_ = bench.output({p.tokens, p.dim});
    d_w_ = options.d_w_before.empty() ? bench.output({rows, p.dim}) : bench.input({rows, p.dim}, options.d_w_before);
    loss_.emplace(bench.arena(), bench.caps(), LossShape{p.tokens, p.dim, p.vocab}, loss_options, plan, options.force);
  }

  void record(Ops& ops) {
    ops.row_subgroups = row_subgroups_;
    if (plan_.logits_buffers > 0) loss_->forward_backward(ops, outputs_, {.d_x = d_x_, .d_w = d_w_, .into_d_w = into_}, inputs_, inverse_weight_);
    else loss_->forward(ops, outputs_, inputs_);
  }

  LossRun read(const KernelBench& bench) const {
    return {bench.read(outputs_.nll), bench.read(d_x_), bench.read(d_w_), read_loss_sums(bench.read(outputs_.sums)),
            bench.read_words(outputs_.status)};
  }

 private:
  LossPlan plan_;
  Into into_;
  uint32_t row_subgroups_;
  LossInputs inputs_;
  LossOutputs outputs_;
  ConstTensor inverse_weight_;
  Tensor d_x_, d_w_;
  std::optional<LinearCrossEntropy> loss_;
};

// ---- bounds ----

// Rounding of a logit whose dot product is exact: alpha's and alpha's own, then the softcap's few (tanh is made of exp).
inline double logit_error(const LossProblem& p) {
  if (p.temperature == 1 && p.softcap == 0) return 0;
  double x = 0, w = 0;
  for (const double value : p.x) x = std::max(x, std::abs(value));
  for (const double value : p.w) w = std::max(w, std::abs(value));
  return kEpsilon * (4 * p.dim * x * w / p.temperature + 16 * p.softcap);
}

// Rounding errors of a loss and its gradients, if each logit has an error of at most `of_logit`. Worst case, no
// averaging.
//   s is a sum of V positive terms, so it errs by V roundings relative, and exp's own: exp() may be off by 3 + 2|x| ULP
//   (2 roundings each) and |x| exp(x) <= 1/e. ln: 3 ULP. Hence lse, nll = (m - z_y) + ln s, and with
//   p = exp(z - lse) off by z's and lse's error, by z - lse's rounding and by exp's, every term of dz.
struct LossBounds {
  Doubles nll, d_x, d_w;
  double sum_nll = 0, sum_objective = 0;
};
// 16-bit operands: x and w are exact, gradients of logits are rounded: in f16, kGradientScale times as large and before
// the divisor, to nothing less than 2^-25.
inline LossBounds bounds_of(const LossProblem& p, const LossResult& r, double of_logit, Precision precision = Precision::f32) {
  constexpr double kTiny = 1e-36;  // smaller values are flushed to zero
  LossBounds bounds;
  double of_gradient = 0, sum_of_magnitudes = 0;
  for (uint32_t n = 0; n < p.tokens; ++n) {
    const double lse = std::abs(r.lse[n]), ln = std::log(p.vocab) + 1;
    const double of_lse = of_logit + kEpsilon * (p.vocab + 10.0 + 4 * (lse + 2 * ln));
    const double of_nll = 2 * of_logit + kEpsilon * (p.vocab + 10.0 + 8 * ln + 4 * (std::abs(r.nll[n]) + ln));
    const double spread = lse + r.reach;  // at least |mean z|, and lse - mean z
    const double of_spread = of_lse + of_logit + kEpsilon * (p.vocab + 4.0) * spread;
    const double of_objective = of_nll + p.smoothing * of_spread + p.z_loss * (2 * lse * of_lse + 4 * kEpsilon * lse * lse);
    bounds.nll.push_back(p.valid(n) ? of_nll : 0);
    if (!p.valid(n)) continue;
    bounds.sum_nll += p.weights[n] * of_nll;
    bounds.sum_objective += p.weights[n] * of_objective;
    sum_of_magnitudes += p.weights[n] * (std::abs(r.nll[n]) + p.smoothing * spread + p.z_loss * lse * lse);
    of_gradient = std::max(of_gradient, of_logit + of_lse * (1 + 2 * p.z_loss) + kEpsilon * (5 * r.reach + 48));
  }
  if (p.softcap > 0) of_gradient += 2 * of_logit / p.softcap;  // its slope
  bounds.sum_nll += 24 * kEpsilon * sum_of_magnitudes;         // the tree over a workgroup
  bounds.sum_objective += 32 * kEpsilon * sum_of_magnitudes;
  const double of_operand = operand_rounding(precision),
               smallest_operand = precision == Precision::f16 ? 0x1p-25 / args::kGradientScale / r.weight : 0;
  const auto gradient = [&](const Doubles& magnitudes, double reduction, const Doubles& others) {
    double largest = 0;
    for (const double other : others) largest = std::max(largest, std::abs(other));
    const double vanished = reduction * smallest_operand * largest + kTiny;
    Doubles of_elements;
    for (const double magnitude : magnitudes)
      of_elements.push_back(magnitude == 0 ? 0 : magnitude * (of_gradient + of_operand * (1 + of_gradient) + kEpsilon * (reduction + 8)) + vanished);
    return of_elements;
  };
  bounds.d_x = gradient(r.d_x_magnitude, p.vocab, p.w);
  bounds.d_w = gradient(r.d_w_magnitude, p.tokens, p.x);
  return bounds;
}

}  // namespace lapilli::check
