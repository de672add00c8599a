// The masking contract of the loss (seven points), for every matmul kernel and every cut of the logits. Point 7, numbers
// against the reference, is in loss_test.cpp.
#include <bit>

#include "shaders/loss/args.h"
#include "tests/model/loss/loss_support.h"

namespace lapilli::test {
namespace {

// V ends in the middle of a vocab block and of every tile, N in the middle of a tile and of a range.
constexpr uint32_t kTokens = 29, kVocab = 43;
std::vector<Partition> partitions_of_small(const LossProblem& p) {
  std::vector<Partition> partitions = partitions_of(p, 7, 13);
  partitions.push_back({"ranges of one row", 1, p.vocab, 1});
  return partitions;
}

bool all_zero(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return value == 0; });
}
bool none_finite(std::span<const float> values) {
  return std::ranges::none_of(values, [](float value) { return std::isfinite(value); });
}
std::span<const float> row_of(const std::vector<float>& values, uint32_t row, uint32_t width) {
  return std::span(values).subspan(uint64_t{row} * width, width);
}
std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

class LossMasking : public LossTest {
 protected:
  uint32_t dim() const { return taken_dim(GetParam(), 6); }
};

// ---- point 1: a masked row has loss 0 and gradients of exactly 0, does not affect others, its target is not read ----

struct Masked {
  LossProblem problem;          // garbage in the masked rows
  std::vector<float> garbage_x;
  LossProblem valid;            // the same without them
  std::vector<uint32_t> valid_rows;
};
// Masked by weight or by target: first, last, alone in the middle of a range, all of a range, and beyond.
Masked mask_rows(LossProblem p, const std::function<bool(uint32_t)>& is_masked) {
  Masked m{.problem = p, .garbage_x = narrow(p.x), .valid = {.dim = p.dim, .vocab = p.vocab, .w = p.w}};
  for (uint32_t n = 0; n < p.tokens; ++n) {
    const auto x = p.x.begin() + static_cast<std::ptrdiff_t>(uint64_t{n} * p.dim);
    if (is_masked(n)) {
      if (n % 2 == 0) m.problem.weights[n] = 0, m.problem.targets[n] = 4000000000U + n;
      else m.problem.targets[n] = LossProblem::kIgnore;
      std::fill_n(m.garbage_x.begin() + static_cast<std::ptrdiff_t>(uint64_t{n} * p.dim), p.dim, n % 4 < 2 ? std::nanf("") : -INFINITY);
    } else {
      m.valid_rows.push_back(n);
      m.valid.x.insert(m.valid.x.end(), x, x + p.dim);
      m.valid.targets.push_back(p.targets[n]);
      m.valid.weights.push_back(p.weights[n]);
    }
  }
  m.valid.tokens = static_cast<uint32_t>(m.valid_rows.size());
  return m;
}

TEST_P(LossMasking, Point1_MaskedRowsFullOfGarbage_ValidRowsAsIfTheyWereAlone) {
  const std::vector<std::function<bool(uint32_t)>> masks{
      [](uint32_t n) { return n == 0 || n == 3 || n == kTokens - 1; },
      [](uint32_t n) { return n >= 5 && n < 21; },  // two whole ranges' worth of tokens
      [](uint32_t n) { return n % 8 != 7; },        // three rows stay: the later ranges have none
      [](uint32_t n) { return n != 17; },
  };
  for (size_t i = 0; i < masks.size(); ++i) {
    LossProblem p = make_problem(kTokens, dim(), kVocab, 31);
    p.weights[7] = p.weights[23] = 0.25;
    const Masked m = mask_rows(p, masks[i]);
    for (const Partition& partition : partitions_of_small(p)) {
      SCOPED_TRACE(fmt::format("mask {}, {}", i, partition.name));
      const LossRun actual = run(m.problem, partition, {.force = GetParam(), .x = m.garbage_x});
      EXPECT_EQ(actual.sums.rows, m.valid.tokens);
      EXPECT_EQ(actual.status[args::kStatusBadTargets], 0U);
      EXPECT_EQ(non_finite_row(actual.status), std::nullopt);
      const LossRun alone = run(m.valid, {"", partition.row_chunk, partition.chunk, partition.logits_buffers}, {.force = GetParam()});
      expect_same_bits(actual.d_w, alone.d_w, "d_w");
      for (uint32_t n = 0, v = 0; n < kTokens; ++n) {
        const bool is_valid = v < m.valid.tokens && m.valid_rows[v] == n;
        const auto d_x = row_of(actual.d_x, n, dim());
        if (is_valid) {
          expect_same_bits({actual.nll[n]}, {alone.nll[v]}, "nll");
          expect_same_bits(copy_of(d_x), copy_of(row_of(alone.d_x, v++, dim())), "d_x");
        } else {
          EXPECT_EQ(actual.nll[n], 0.0F) << n;
          EXPECT_TRUE(all_zero(d_x)) << n;
        }
      }
    }
    expect_matches(run(m.problem, partitions_of_small(p)[5], {.force = GetParam(), .x = m.garbage_x}), m.problem, GetParam().precision);
  }
}

// ---- point 2: one divisor ----

TEST_P(LossMasking, Point2_MicroBatchesWithOneDivisor_EqualOneBatch) {
  LossProblem whole = make_problem(kTokens, dim(), kVocab, 41);
  for (uint32_t n = 0; n < kTokens; ++n) whole.weights[n] = n < 20 ? n % 4 == 0 : 0.5;  // the halves have different weights
  const double inverse = 1 / weight_of(whole);
  LossProblem first = whole, second = whole;
  for (uint32_t n = 0; n < kTokens; ++n) (n < 13 ? second : first).weights[n] = 0;
  const LossResult expected = reference::loss(whole);
  for (const Partition& partition : partitions_of_small(whole)) {
    SCOPED_TRACE(partition.name);
    const LossRun one = run(whole, partition, {.force = GetParam()});
    const LossRun a = run(first, partition, {.force = GetParam(), .inverse_weight = inverse});
    const LossRun b = run(second, partition, {.force = GetParam(), .d_w_before = a.d_w, .inverse_weight = inverse});
    for (uint32_t n = 0; n < kTokens; ++n) {
      expect_same_bits(copy_of(row_of((n < 13 ? a : b).d_x, n, dim())), copy_of(row_of(one.d_x, n, dim())), "d_x of a row");
      EXPECT_TRUE(all_zero(row_of((n < 13 ? b : a).d_x, n, dim())));
    }
    expect_close(b.d_w, expected.d_w, bounds_of(whole, expected, logit_error(whole), GetParam().precision).d_w, "d_w over two micro-batches");
    EXPECT_EQ(a.sums.weight + b.sums.weight, one.sums.weight);
  }
}

// ---- point 3: no valid row ----

TEST_P(LossMasking, Point3_NoValidRow_GradientsZeroAndNothingNaN) {
  LossProblem p = make_problem(kTokens, dim(), kVocab, 51);
  for (uint32_t n = 0; n < kTokens; ++n)
    if (n % 2 == 0) p.weights[n] = 0;
    else p.targets[n] = LossProblem::kIgnore;
  const std::vector<float> garbage(kTokens * dim(), std::nanf(""));
  auto before = random_values(kVocab * dim(), 52);  // negative zero, denormals and NaN must also stay
  before[0] = -0.0F, before[1] = 1e-42F, before[2] = std::nanf(""), before[3] = -INFINITY;
  for (const Partition& partition : partitions_of_small(p)) {
    SCOPED_TRACE(partition.name);
    for (const double inverse : {0.0, static_cast<double>(INFINITY)}) {
      const LossRun r = run(p, partition, {.force = GetParam(), .x = garbage, .inverse_weight = inverse});
      EXPECT_TRUE(all_zero(r.d_x));
      EXPECT_TRUE(all_zero(r.d_w));
      EXPECT_TRUE(all_zero(r.nll));
      for (const double sum : {r.sums.rows, r.sums.weight, r.sums.nll, r.sums.objective, r.sums.top1_correct, r.sums.z_loss}) EXPECT_EQ(sum, 0);
      EXPECT_EQ(non_finite_row(r.status), std::nullopt);
      EXPECT_NO_THROW(require_good_targets(r.status, kVocab, "step 1"));
    }
    expect_same_bits(run(p, partition, {.force = GetParam(), .d_w_before = before, .x = garbage}).d_w, before, "accumulated d_w");
  }
}

// ---- point 4: a target outside the vocabulary ----

TEST_P(LossMasking, Point4_TargetOutsideVocabulary_IsNamedAndTouchesNoOtherRow) {
  const LossProblem clean = make_problem(kTokens, dim(), kVocab, 61);
  for (const uint32_t bad : {kVocab, kVocab + 2, 64U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFEU}) {
    LossProblem p = clean;
    p.weights[0] = 0, p.targets[0] = 99;  // not read
    p.targets[3] = bad;
    p.targets[kTokens - 1] = kVocab;
    LossProblem without = clean;
    for (const uint32_t n : {0U, 3U, kTokens - 1}) without.weights[n] = 0;
    for (const Partition& partition : partitions_of_small(p)) {
      SCOPED_TRACE(fmt::format("target {}, {}", bad, partition.name));
      const double inverse = 0.0625;
      // The memory behind the vocabulary contains NaN, so that reading it would be detected.
      const LossRun r = run(p, partition, {.force = GetParam(), .padding = 30, .inverse_weight = inverse});
      const LossRun others = run(without, partition, {.force = GetParam(), .inverse_weight = inverse});
      EXPECT_EQ(r.status[args::kStatusBadTargets], 2U);
      try {
        require_good_targets(r.status, kVocab, "step 7");
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(fmt::format("step 7: the target of row 3 is {},", bad)), std::string::npos) << error.what();
      }
      for (uint32_t n = 1; n + 1 < kTokens; ++n) {
        if (n == 3) continue;
        expect_same_bits({r.nll[n]}, {others.nll[n]}, "nll");
        expect_same_bits(copy_of(row_of(r.d_x, n, dim())), copy_of(row_of(others.d_x, n, dim())), "d_x");
      }
      EXPECT_TRUE(std::isfinite(r.sums.nll));
    }
  }
}

// Its loss is lse - 0, whatever the memory held before: another batch, whose target logits are far from 0.
TEST_P(LossMasking, Point4_TargetOutsideVocabularyAfterAnotherBatch_UsesNothingOfIt) {
  const LossProblem p = taken(with_logits({{4, 3, 2, 3, 4}}, {0}), GetParam());
  Bench bench;
  const Tensor x = bench.input({1, p.dim}, narrow(p.x)), w = bench.input({5, p.dim}, narrow(p.w), storage_type(GetParam().precision)),
               weights = bench.input({1}, narrow(p.weights));
  const Tensor good = bench.input({1}, p.targets), bad = bench.input({1}, std::vector<uint32_t>{5});
  const Tensor nll = bench.output({1}), sums = bench.output({args::kSumCount}), status = bench.output({args::kStatusWords}, DType::u32);
  LinearCrossEntropy loss(bench.arena(), device().caps(), {1, p.dim, 5}, {}, plan_of(p, {"", 1, 2, 0}), GetParam());
  for (const Tensor& targets : {good, bad})
    bench.run([&](Ops& ops) {
      loss.forward(ops, {.nll = nll, .sums = sums, .status = status}, {.x = x, .w = w, .targets = targets, .weights = weights});
    });
  EXPECT_NEAR(bench.read(nll)[0], reference::loss(p).lse[0], 1e-5);
}

// ---- point 5: padding columns ----

TEST_P(LossMasking, Point5_PaddingColumnsFullOfNaN_ChangeNothingAndGetNoGradient) {
  for (const uint32_t vocab : {kVocab, 523U}) {  // also beyond the first vocab block
    LossProblem p = make_problem(kTokens, dim(), vocab, 71);
    p.smoothing = 0.1F;  // 1 / V is of the real V
    for (const uint32_t padding : {1U, 5U, 21U}) {
      const uint64_t real = uint64_t{vocab} * dim(), all = real + uint64_t{padding} * dim();
      std::vector<float> before(all, 0.0F);
      std::fill(before.begin() + static_cast<std::ptrdiff_t>(real), before.end(), -0.0F);
      for (const Partition& partition : vocab == kVocab ? partitions_of_small(p) : partitions_of(p, 11, 263)) {
        if (vocab != kVocab && padding != 5) continue;
        SCOPED_TRACE(fmt::format("V {} + {}, {}", vocab, padding, partition.name));
        const LossRun plain = run(p, partition, {.force = GetParam()});
        LossRun padded = run(p, partition, {.force = GetParam(), .padding = padding});
        for (uint64_t i = real; i < all; ++i) ASSERT_EQ(std::bit_cast<uint32_t>(padded.d_w[i]), 0xFFFFFFFFU) << "written: " << i;
        padded.d_w.resize(real);
        expect_same_run(padded, plain);
        const LossRun added = run(p, partition, {.force = GetParam(), .padding = padding, .d_w_before = before});
        expect_same_bits({added.d_w.begin() + static_cast<std::ptrdiff_t>(real), added.d_w.end()},
                         {before.begin() + static_cast<std::ptrdiff_t>(real), before.end()}, "d_w of padding");
      }
    }
  }
}

// Not a padding row of w, but what the kernels of a chunk read beyond its width: the next chunk's columns.
TEST_P(LossMasking, Point5_UniformLogits_GiveTheLogOfTheRealVocabulary) {
  const LossProblem p = taken(with_logits({std::vector<double>(kVocab, 0.5)}, {kVocab - 1}), GetParam());
  for (const Partition& partition : partitions_of_small(p)) {
    SCOPED_TRACE(partition.name);
    EXPECT_NEAR(run(p, partition, {.force = GetParam(), .padding = 21}).nll[0], std::log(kVocab), 4 * 6 * kEpsilon);  // ln: 3 ULP
  }
}

// ---- point 6: NaN and Inf ----

enum class Poison { plus_inf, minus_inf, nan };
// One logit, of row n and column v, is not finite, by overflow of finite x and w: the last two dimensions are 0 elsewhere.
LossProblem with_poison(LossProblem p, uint32_t n, uint32_t v, Poison poison) {
  double* x = &p.x[uint64_t{n} * p.dim];
  double* w = &p.w[uint64_t{v} * p.dim];
  x[p.dim - 2] = x[p.dim - 1] = 1e30F;
  if (poison != Poison::minus_inf) w[p.dim - 2] = 1e30F;
  if (poison != Poison::plus_inf) w[p.dim - 1] = -1e30F;
  return p;
}
LossProblem without_last_dims(LossProblem p) {
  for (uint64_t i = 0; i < p.x.size(); ++i)
    if (i % p.dim >= p.dim - 2) p.x[i] = 0;
  for (uint64_t i = 0; i < p.w.size(); ++i)
    if (i % p.dim >= p.dim - 2) p.w[i] = 0;
  return p;
}

class LossNonFinite : public LossTest {
 protected:
  static constexpr uint32_t kDim = 6;
  void check(const LossProblem& clean, const std::vector<Partition>& partitions, const std::vector<uint32_t>& rows,
             const std::vector<uint32_t>& columns) const {
    for (const Partition& partition : partitions) {
      const LossRun expected = run(clean, partition, {.force = GetParam()});
      for (const Poison poison : {Poison::plus_inf, Poison::minus_inf, Poison::nan})
        for (const uint32_t row : rows)
          for (const uint32_t column : columns) {
            SCOPED_TRACE(fmt::format("{}: {} at row {}, column {}, target {}", partition.name,
                                     poison == Poison::nan        ? "NaN"
                                     : poison == Poison::plus_inf ? "+Inf"
                                                                  : "-Inf",
                                     row, column, clean.targets[row]));
            const LossRun actual = run(with_poison(clean, row, column, poison), partition, {.force = GetParam()});
            EXPECT_EQ(non_finite_row(actual.status), std::optional(row));
            EXPECT_FALSE(std::isfinite(actual.nll[row]));
            EXPECT_FALSE(std::isfinite(actual.sums.nll));
            EXPECT_FALSE(std::isfinite(actual.sums.objective));
            EXPECT_TRUE(none_finite(row_of(actual.d_x, row, clean.dim)));
            EXPECT_TRUE(none_finite(actual.d_w));
            for (uint32_t n = 0; n < clean.tokens; ++n) {
              if (n == row) continue;
              expect_same_bits({actual.nll[n]}, {expected.nll[n]}, "nll of another row");
              expect_same_bits(copy_of(row_of(actual.d_x, n, clean.dim).first(clean.dim - 2)),
                               copy_of(row_of(expected.d_x, n, clean.dim).first(clean.dim - 2)), "d_x of another row");
            }
            if (HasFailure()) return;
          }
    }
  }
};

TEST_P(LossNonFinite, Point6_OneLogit_ReachesTheLossNamesTheRowAndLeavesTheOthers) {
  LossProblem p = without_last_dims(make_problem(kTokens, kDim, kVocab, 81));
  p.weights[1] = 0;  // compact rows and tokens differ
  check(p, partitions_of_small(p), {0, 17, kTokens - 1}, {0, 12, 13, 40, kVocab - 1});
}

// Beyond a vocab block, beyond a tile of rows.
TEST_P(LossNonFinite, Point6_OneLogitBeyondTilesAndVocabBlocks_ReachesTheLoss) {
  LossProblem p = without_last_dims(make_problem(131, 4, 647, 83));
  p.weights[1] = 0;
  check(p, {{"full", 131, 647, 1}, {"vocab, one logits buffer", 131, 523, 1}}, {130}, {511, 646});
}

TEST_P(LossNonFinite, Point6_OneLogitWithASoftcap_IsNotSquashed) {
  LossProblem p = without_last_dims(make_problem(kTokens, kDim, kVocab, 85));
  p.softcap = 5;
  check(p, {partitions_of_small(p)[0], partitions_of_small(p)[2]}, {17}, {0, 40});
}

// NaN in an input, like from a bad weight: the error names the first valid row.
TEST_P(LossMasking, Point6_NaNInTheHead_NamesTheFirstValidRow) {
  LossProblem p = make_problem(kTokens, dim(), kVocab, 87);
  p.weights[0] = 0;
  p.w[uint64_t{kVocab - 1} * dim() + 2] = NAN;
  for (const Partition& partition : partitions_of_small(p)) {
    SCOPED_TRACE(partition.name);
    const LossRun actual = run(p, partition, {.force = GetParam()});
    EXPECT_EQ(non_finite_row(actual.status), std::optional(1U));
    EXPECT_TRUE(all_zero(row_of(actual.d_x, 0, dim())));
    EXPECT_EQ(actual.nll[0], 0.0F);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, LossMasking, testing::ValuesIn(few_precisions()), loss_case_name);
INSTANTIATE_TEST_SUITE_P(Kernels, LossNonFinite, testing::ValuesIn(all_kernels()), loss_case_name);

}  // namespace
}  // namespace lapilli::test
