#include "model/loss.h"

#include <cmath>
#include <numeric>

#include "tests/reference/loss.h"
#include "tests/support.h"

namespace lapilli::test {
namespace {

using reference::LossProblem;
using reference::LossResult;

// What the device gave.
struct LossRun {
  std::vector<float> nll, d_x, d_w;
  LossSums sums;
  std::vector<uint32_t> status;
  LossPlan plan;
};

struct RunOptions {
  LossOptions loss;
  bool training = true;
  uint32_t padding = 0;              // extra rows of w beyond V, full of NaN
  std::vector<float> d_w_before;     // accumulate into these
  std::vector<float> x;              // instead of the problem's (garbage in masked rows)
  std::optional<MatmulKernel> force = std::nullopt;
};

LossRun run(const LossProblem& p, RunOptions options) {
  options.loss.label_smoothing = static_cast<float>(p.smoothing);
  options.loss.z_loss = static_cast<float>(p.z_loss);
  options.loss.softcap = static_cast<float>(p.softcap);
  options.loss.temperature = static_cast<float>(p.temperature);
  std::vector<float> w = narrow(p.w);
  w.resize(w.size() + uint64_t{options.padding} * p.dim, std::nanf(""));
  double weight = 0;
  for (uint32_t n = 0; n < p.tokens; ++n) weight += p.valid(n) ? p.weights[n] : 0;

  Bench bench;
  const uint32_t rows = p.vocab + options.padding;
  const Tensor x = bench.input({p.tokens, p.dim}, options.x.empty() ? narrow(p.x) : options.x), tw = bench.input({rows, p.dim}, w);
  const Tensor targets = bench.input({p.tokens}, p.targets), weights = bench.input({p.tokens}, narrow(p.weights));
  const Tensor inverse = bench.input({1}, std::vector<float>{weight == 0 ? 0.0F : static_cast<float>(1 / weight)});
  const Tensor nll = bench.output({p.tokens}), sums = bench.output({args::kSumCount});
  const Tensor status = bench.output({args::kStatusWords}, DType::u32);
  const Tensor d_x = bench.output({p.tokens, p.dim});
  const Tensor d_w = options.d_w_before.empty() ? bench.output({rows, p.dim}) : bench.input({rows, p.dim}, options.d_w_before);
  const LossShape shape{p.tokens, p.dim, p.vocab};
  LinearCrossEntropy loss(bench.arena(), device().caps(), shape, options.loss, plan_loss(options.loss, shape, options.training), options.force);
  const LossOutputs outputs{.nll = nll, .sums = sums, .status = status};
  const LossInputs inputs{.x = x, .w = tw, .targets = targets, .weights = weights};
  const Into into = options.d_w_before.empty() ? Into::overwrite : Into::accumulate;
  bench.run([&](Ops& ops) {
    if (options.training) loss.forward_backward(ops, outputs, {.d_x = d_x, .d_w = d_w, .into_d_w = into}, inputs, inverse);
    else loss.forward(ops, outputs, inputs);
  });
  return {bench.read(nll), bench.read(d_x), bench.read(d_w), read_loss_sums(bench.read(sums)), bench.read_words(status), loss.plan()};
}

LossProblem make_problem(uint32_t tokens, uint32_t dim, uint32_t vocab, uint32_t seed) {
  LossProblem p{.tokens = tokens, .dim = dim, .vocab = vocab};
  p.x = widen(random_values(uint64_t{tokens} * dim, seed));
  p.w = widen(random_values(uint64_t{vocab} * dim, seed + 1, 2.0F));
  std::mt19937 generator(seed + 2);
  for (uint32_t n = 0; n < tokens; ++n) {
    p.targets.push_back(n + 1 == tokens ? vocab - 1 : static_cast<uint32_t>(generator() % vocab));  // one in the last tile
    p.weights.push_back(1);
  }
  return p;
}

// Rounding of a logit: a dot product of D products, each at most `largest`; then the softcap's few.
double logit_error(const LossProblem& p) {
  double x = 0, w = 0;
  for (const double value : p.x) x = std::max(x, std::abs(value));
  for (const double value : p.w) w = std::max(w, std::abs(value));
  return kEpsilon * (p.dim + 8.0) * p.dim * x * w / p.temperature;
}

// exp() in GLSL may be off by 3 + 2|x| ULP (2 roundings each); arguments z - m lie in [-range, 0], and terms with large
// |x| are small: |x| exp(x) <= 1/e, so each term errs by at most (6 + 4/e) eps absolute. log: 3 ULP.
double nll_bound(const LossProblem& p, double nll) {
  const double sum_of_exps = kEpsilon * (p.vocab + 10.0);  // relative error of s: one rounding a term, and exp's own
  return 2 * logit_error(p) + sum_of_exps + 12 * kEpsilon * (std::abs(nll) + std::log(p.vocab) + 1);
}

void expect_matches(const LossRun& actual, const LossProblem& p, const char* what) {
  const LossResult expected = reference::loss(p);
  Doubles nll_bounds;
  double sum_bound = 0;
  for (uint32_t n = 0; n < p.tokens; ++n) {
    nll_bounds.push_back(p.valid(n) ? nll_bound(p, expected.nll[n]) : 0);
    if (p.valid(n)) sum_bound += p.weights[n] * (nll_bounds.back() * (1 + 2 * p.z_loss * 20) + 8 * kEpsilon * std::abs(expected.nll[n]));
  }
  expect_close(actual.nll, expected.nll, nll_bounds, what);
  EXPECT_NEAR(actual.sums.weight, expected.weight, 4 * kEpsilon * expected.weight) << what;
  EXPECT_NEAR(actual.sums.nll, expected.sum_nll, sum_bound + 4 * kEpsilon * std::abs(expected.sum_nll)) << what;
  EXPECT_NEAR(actual.sums.objective, expected.sum_objective,
              (1 + p.z_loss * 40) * sum_bound + p.smoothing * logit_error(p) * p.tokens + 16 * kEpsilon * std::abs(expected.sum_objective))
      << what;
  EXPECT_EQ(actual.sums.hits, expected.hits) << what;

  // A gradient element is a sum of up to max(N, V) products dz * factor; dz = p - ... errs relative by the error of
  // z - lse, and absolute by a rounding of 1 (p - 1).
  const double dz_relative = 2 * logit_error(p) + kEpsilon * (p.vocab + 24.0) + 8 * kEpsilon * 20;
  const double weight_scale = expected.weight == 0 ? 0 : *std::ranges::max_element(p.weights) / expected.weight / p.temperature;
  double x = 0, w = 0;
  for (const double value : p.x) x = std::max(x, std::abs(value));
  for (const double value : p.w) w = std::max(w, std::abs(value));
  const double dz_absolute = weight_scale * (dz_relative + 4 * kEpsilon);  // of the target's column, one per row
  Doubles x_bound, w_bound;
  for (const double magnitude : expected.d_x_magnitude)
    x_bound.push_back(magnitude * (dz_relative + kEpsilon * (p.vocab + 4.0)) + dz_absolute * w * 2);
  for (const double magnitude : expected.d_w_magnitude)
    w_bound.push_back(magnitude * (dz_relative + kEpsilon * (p.tokens + 4.0)) + dz_absolute * x * 2 * p.tokens / p.vocab + dz_absolute * x);
  for (uint32_t n = 0; n < p.tokens; ++n)
    if (!p.valid(n)) std::fill_n(x_bound.begin() + static_cast<std::ptrdiff_t>(uint64_t{n} * p.dim), p.dim, 0.0);  // exactly 0
  expect_close(actual.d_x, expected.d_x, x_bound, what);
  expect_close(actual.d_w, expected.d_w, w_bound, what);
}

LossOptions full() { return {.strategy = LossStrategy::full}; }
LossOptions in_ranges(uint32_t rows) { return {.strategy = LossStrategy::tokens, .chunk = rows}; }
LossOptions chunked(uint32_t chunk, uint64_t memory_mib = 0) {
  return {.strategy = LossStrategy::vocab, .chunk = chunk, .memory_mib = memory_mib};
}

// ---- worked values ----

// X = I and W = logits, so that the logits are given.
LossProblem with_logits(const std::vector<double>& logits, uint32_t target) {
  return {.tokens = 1, .dim = 1, .vocab = static_cast<uint32_t>(logits.size()), .x = {1}, .w = logits, .targets = {target}, .weights = {1}};
}

TEST(Loss, WorkedLogits_GiveTheKnownLossAndGradient) {
  const LossRun r = run(with_logits({2, 1, 3}, 2), {.loss = full()});
  EXPECT_NEAR(r.nll[0], 0.407606, 1e-6);
  // d_w = dz * x = dz
  EXPECT_NEAR(r.d_w[0], 0.244728, 1e-6);
  EXPECT_NEAR(r.d_w[1], 0.090031, 1e-6);
  EXPECT_NEAR(r.d_w[2], -0.334759, 1e-6);
}

TEST(Loss, WorkedProbabilities_GiveMinusLog) {
  const std::vector<double> logits{std::log(0.1), std::log(0.7), std::log(0.2)};
  EXPECT_NEAR(run(with_logits(logits, 1), {.loss = full()}).nll[0], 0.356675, 1e-6);
  EXPECT_NEAR(run(with_logits(logits, 2), {.loss = full()}).nll[0], 1.609438, 1e-6);
  EXPECT_NEAR(run(with_logits(logits, 0), {.loss = full()}).nll[0], 2.302585, 1e-6);
}

TEST(Loss, TemperatureLimits_GiveUniformAndArgmax) {
  LossProblem p = with_logits({2, 1, 3, -1, 0}, 2);
  p.temperature = 1e6;
  EXPECT_NEAR(run(p, {.loss = full()}).nll[0], std::log(5), 1e-5);
  p.temperature = 1e-2;
  EXPECT_NEAR(run(p, {.loss = full()}).nll[0], 0, 1e-6);
}

TEST(Loss, VocabularyOfOne_LossAndGradientAreZero) {
  const LossRun r = run(make_problem(5, 3, 1, 1), {.loss = full()});
  for (const float nll : r.nll) EXPECT_EQ(nll, 0.0F);
  for (const float d : r.d_x) EXPECT_EQ(d, 0.0F);
}

TEST(Loss, ExtremeLogits_StayFiniteAndRight) {
  const LossRun r = run(with_logits({1e4, -1e4, 0}, 1), {.loss = full()});
  EXPECT_NEAR(r.nll[0], 2e4, 1e-2);
  EXPECT_NEAR(r.d_w[0], 1, 1e-6);
  EXPECT_NEAR(r.d_w[1], -1, 1e-6);
  const LossRun s = run(with_logits({1e4, -1e4, 0}, 0), {.loss = chunked(1)});
  EXPECT_EQ(s.nll[0], 0.0F);
}

// ---- against the reference: strategies, sizes, options ----

struct Case {
  const char* name;
  uint32_t tokens, dim, vocab;
  double smoothing, z_loss, softcap, temperature;
};

class LossAgainstReference : public testing::TestWithParam<Case> {};

TEST_P(LossAgainstReference, EveryStrategy_MatchesLossAndGradients) {
  const Case& c = GetParam();
  LossProblem p = make_problem(c.tokens, c.dim, c.vocab, 11);
  p.smoothing = static_cast<float>(c.smoothing);
  p.z_loss = static_cast<float>(c.z_loss);
  p.softcap = c.softcap;
  p.temperature = c.temperature;
  for (uint32_t n = 0; n < p.tokens; n += 3) p.weights[n] = n % 2 == 0 ? 0 : 0.5;
  if (p.tokens > 4) p.targets[4] = LossProblem::kIgnore;
  expect_matches(run(p, {.loss = full()}), p, "full");
  expect_matches(run(p, {.loss = in_ranges(c.tokens / 2 + 1)}), p, "tokens, two ranges");
  expect_matches(run(p, {.loss = in_ranges(1)}), p, "tokens, ranges of one row");
  expect_matches(run(p, {.loss = chunked(c.vocab / 3 + 1)}), p, "vocab, one slab");
  expect_matches(run(p, {.loss = chunked(7, 1)}), p, "vocab, all chunks kept");
  expect_matches(run(p, {.loss = chunked(1)}), p, "vocab, chunks of one column");
}

INSTANTIATE_TEST_SUITE_P(Shapes, LossAgainstReference,
                         testing::Values(Case{"Small", 7, 5, 13, 0, 0, 0, 1}, Case{"Primes", 31, 17, 101, 0, 0, 0, 1},
                                         Case{"OneRow", 1, 3, 2, 0, 0, 0, 1}, Case{"TileEdges", 25, 16, 33, 0, 0, 0, 1},
                                         Case{"Smoothing", 13, 9, 37, 0.1, 0, 0, 1}, Case{"ZLoss", 13, 9, 37, 0, 1e-2, 0, 1},
                                         Case{"Softcap", 13, 9, 37, 0, 0, 3, 1}, Case{"Temperature", 13, 9, 37, 0, 0, 0, 2.5},
                                         Case{"Together", 17, 11, 53, 0.1, 1e-3, 5, 1.5}),
                         [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

// The reference itself: its gradients are those of its loss.
TEST(LossReference, Gradients_MatchFiniteDifferences) {
  LossProblem p = make_problem(5, 3, 7, 21);
  p.smoothing = 0.1, p.z_loss = 0.02, p.softcap = 2, p.temperature = 1.3;
  p.weights = {1, 0, 0.5, 2, 1};
  const LossResult r = reference::loss(p);
  const double h = 1e-5;
  const auto check = [&](std::vector<double>& values, const std::vector<double>& gradient, const char* what) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double kept = values[i];
      values[i] = kept + h;
      const double up = reference::loss(p).sum_objective / r.weight;
      values[i] = kept - h;
      const double down = reference::loss(p).sum_objective / r.weight;
      values[i] = kept;
      EXPECT_NEAR(gradient[i], (up - down) / (2 * h), 1e-8) << what << " " << i;  // h^2 third derivatives and 1e-16 / h
    }
  };
  check(p.x, r.d_x, "x");
  check(p.w, r.d_w, "w");
}

// ---- the masking contract ----

TEST(LossMasking, MaskedRowFullOfNaN_LeaksNothing) {
  LossProblem p = make_problem(9, 6, 23, 31);
  p.weights[2] = p.weights[8] = 0;
  p.targets[5] = LossProblem::kIgnore;
  auto x = narrow(p.x);
  for (const uint32_t n : {2U, 5U, 8U}) std::fill_n(x.begin() + n * p.dim, p.dim, std::nanf(""));
  p.targets[2] = 4000000000U;  // not read
  const LossRun r = run(p, {.loss = chunked(5), .x = x});
  EXPECT_EQ(r.status[args::kStatusBadTargets], 0U);
  EXPECT_EQ(r.sums.rows, 6);
  p.targets[2] = 0;
  expect_matches(r, p, "masked rows full of NaN");
}

TEST(LossMasking, WeightedMicroBatches_EqualOneBatchWithOneDivisor) {
  LossProblem whole = make_problem(12, 4, 11, 41);
  for (uint32_t n = 0; n < 9; ++n) whole.weights[n] = n % 4 == 0;  // the halves have different weights
  const LossResult expected = reference::loss(whole);
  LossProblem first = whole, second = whole;
  for (uint32_t n = 0; n < 12; ++n) (n < 6 ? second : first).weights[n] = 0;
  // Both halves use the divisor of the whole; the second accumulates onto the first.
  const auto gradient = [&](const LossProblem& half, const std::vector<float>& before) {
    Bench bench;
    const Tensor x = bench.input({12, 4}, narrow(half.x)), w = bench.input({11, 4}, narrow(half.w));
    const Tensor targets = bench.input({12}, half.targets), weights = bench.input({12}, narrow(half.weights));
    const Tensor inverse = bench.input({1}, std::vector<float>{static_cast<float>(1 / expected.weight)});
    const Tensor nll = bench.output({12}), sums = bench.output({args::kSumCount}), status = bench.output({args::kStatusWords}, DType::u32);
    const Tensor d_x = bench.output({12, 4}), d_w = before.empty() ? bench.output({11, 4}) : bench.input({11, 4}, before);
    LinearCrossEntropy loss(bench.arena(), device().caps(), {12, 4, 11}, full(), plan_loss(full(), {12, 4, 11}, true));
    bench.run([&](Ops& ops) {
      loss.forward_backward(ops, {.nll = nll, .sums = sums, .status = status},
                            {.d_x = d_x, .d_w = d_w, .into_d_w = before.empty() ? Into::overwrite : Into::accumulate},
                            {.x = x, .w = w, .targets = targets, .weights = weights}, inverse);
    });
    return bench.read(d_w);
  };
  const auto d_w = gradient(second, gradient(first, {}));
  expect_close(d_w, expected.d_w, 64, *std::ranges::max_element(expected.d_w_magnitude), "d_w over two micro-batches");
}

TEST(LossMasking, NoValidRow_GradientsZeroAndNothingNaN) {
  LossProblem p = make_problem(6, 5, 17, 51);
  p.weights.assign(6, 0);
  const LossRun r = run(p, {.loss = chunked(4)});
  EXPECT_EQ(r.sums.rows, 0);
  EXPECT_EQ(r.sums.weight, 0);
  EXPECT_EQ(r.sums.nll, 0);
  for (const float d : r.d_x) EXPECT_EQ(d, 0.0F);
  for (const float d : r.d_w) EXPECT_EQ(d, 0.0F);
  EXPECT_EQ(r.status[args::kStatusNonFiniteRow], args::kNoRow);
}

TEST(LossMasking, TargetOutsideVocabulary_IsNamedAndReadsNothing) {
  LossProblem p = make_problem(6, 5, 17, 61);
  p.targets[3] = 17;
  p.targets[5] = 99;
  const LossRun r = run(p, {.loss = chunked(4)});
  EXPECT_EQ(r.status[args::kStatusBadTargets], 2U);
  try {
    require_good_targets(r.status, 17, "step 7");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("row 3 is 17"), std::string::npos) << error.what();
  }
}

TEST(LossMasking, PaddedColumns_AreNeitherScoredNorGivenAGradient) {
  const LossProblem p = make_problem(10, 6, 19, 71);
  const LossRun r = run(p, {.loss = chunked(8), .padding = 5, .d_w_before = std::vector<float>(24 * 6, 0.0F)});
  for (size_t i = 19 * 6; i < r.d_w.size(); ++i) EXPECT_EQ(r.d_w[i], 0.0F);
  LossRun cut = r;
  cut.d_w.resize(19 * 6);
  expect_matches(cut, p, "padded");
}

TEST(LossMasking, NonFiniteLogit_ReachesTheLossAndNamesTheRow) {
  for (const float poison : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    LossProblem p = make_problem(6, 4, 17, 81);
    auto x = narrow(p.x);
    x[3 * 4 + 1] = poison;
    p.weights[1] = 0;  // compact rows and tokens differ
    const LossRun r = run(p, {.loss = chunked(5), .x = x});
    EXPECT_FALSE(std::isfinite(r.sums.nll));
    EXPECT_EQ(non_finite_row(r.status), std::optional<uint32_t>(3));
    EXPECT_FALSE(std::isfinite(r.nll[3]));
    EXPECT_TRUE(std::isfinite(r.nll[2]));
  }
}

// That the other rows are not multiplied is Matmul.LiveCount_LimitsTokensAndLeavesTheRest.
TEST(LossMasking, OneValidRowInEight_MatchesReference) {
  LossProblem p = make_problem(64, 8, 29, 91);
  for (uint32_t n = 0; n < 64; ++n) p.weights[n] = n % 8 == 0;
  expect_matches(run(p, {.loss = full()}), p, "one row in eight");
}

// ---- determinism, evaluation, memory ----

TEST(Loss, Rerun_IsBitwiseEqual) {
  const LossProblem p = make_problem(33, 12, 67, 101);
  const LossRun a = run(p, {.loss = chunked(20)}), b = run(p, {.loss = chunked(20)});
  expect_same_bits(a.nll, b.nll, "nll");
  expect_same_bits(a.d_x, b.d_x, "d_x");
  expect_same_bits(a.d_w, b.d_w, "d_w");
}

TEST(Loss, Evaluation_GivesTheTrainingLossBitForBit) {
  const LossProblem p = make_problem(33, 12, 67, 111);
  expect_same_bits(run(p, {.loss = chunked(20), .training = false}).nll, run(p, {.loss = chunked(20)}).nll, "nll");
}

TEST(LossPlan, Stash_KeepsWhatFitsAndTheLastChunk) {
  const LossPlan one = plan_loss(chunked(256), {1024, 64, 1024}, true);
  EXPECT_EQ(one.slabs, 1U);
  EXPECT_EQ(one.chunks, 4U);
  EXPECT_TRUE(one.recomputes(0) && one.recomputes(1) && one.recomputes(2));
  EXPECT_FALSE(one.recomputes(3));
  const LossPlan two = plan_loss(chunked(256, 3), {1024, 64, 1024}, true);  // copies of half a MiB, two slabs of 1 MiB
  EXPECT_EQ(two.slabs, 2U);
  EXPECT_FALSE(two.recomputes(0) || two.recomputes(3));
  EXPECT_TRUE(two.recomputes(1) && two.recomputes(2));
}

TEST(Loss, HugeVocabulary_StaysWithinItsChunkBudget) {
  constexpr uint32_t kTokens = 4096, kDim = 64, kVocab = 131072;
  constexpr uint64_t kMib = 1024 * 1024;
  const LossOptions options{.strategy = LossStrategy::vocab, .memory_mib = 32};
  Arena arena(device().caps(), "loss");
  const LossShape shape{kTokens, kDim, kVocab};
  const LinearCrossEntropy loss(arena, device().caps(), shape, options, plan_loss(options, shape, true));
  EXPECT_LE(loss.plan().slab_bytes() + 8ULL * loss.plan().range * kDim, 32 * kMib);
  EXPECT_LE(loss.scratch_bytes(), 34 * kMib);  // and the state of rows and strips
  const uint64_t before = device().allocated_bytes();
  arena.commit(device());
  const uint64_t taken = device().allocated_bytes() - before;  // the device's own accounting
  EXPECT_LE(taken, loss.scratch_bytes() + 8 * 256);
  EXPECT_LT(taken * 50, uint64_t{kTokens} * kVocab * 4);  // the logits whole would be 2 GiB
}

}  // namespace
}  // namespace lapilli::test
