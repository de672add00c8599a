// The loss against worked values and the double reference: every cut of the logits, every matmul kernel, every option.
#include "tests/common/finite_difference.h"
#include "tests/model/loss/loss_support.h"

namespace lapilli::test {
namespace {

constexpr uint32_t kAll = 0xFFFFFFFF;
const Partition kFull{"full", kAll, kAll, kAll};

// ---- worked values ----

TEST(LossWorkedValues, Logits_GiveTheKnownLossAndGradient) {
  const LossRun r = run(with_logits({{2, 1, 3}}, {2}), kFull);
  EXPECT_NEAR(r.nll[0], 0.407606, 1e-6);
  // d_w = dz * x = dz
  EXPECT_NEAR(r.d_w[0], 0.244728, 1e-6);
  EXPECT_NEAR(r.d_w[1], 0.090031, 1e-6);
  EXPECT_NEAR(r.d_w[2], -0.334759, 1e-6);
}

TEST(LossWorkedValues, Probabilities_GiveMinusLog) {
  const std::vector<double> logits{std::log(0.1), std::log(0.7), std::log(0.2)};
  const LossRun r = run(with_logits({logits, logits, logits}, {1, 2, 0}), kFull);
  EXPECT_NEAR(r.nll[0], 0.356675, 1e-6);
  EXPECT_NEAR(r.nll[1], 1.609438, 1e-6);
  EXPECT_NEAR(r.nll[2], 2.302585, 1e-6);
  const std::vector<double> rare{std::log(0.01), std::log(0.99)};
  EXPECT_NEAR(run(with_logits({rare}, {0}), kFull).nll[0], 4.605170, 1e-6);
}

TEST(LossWorkedValues, TemperatureLimits_GiveUniformAndArgmax) {
  LossProblem p = with_logits({{2, 1, 3, -1, 0}}, {2});
  p.temperature = 1e6;
  EXPECT_NEAR(run(p, kFull).nll[0], std::log(5), 1e-5);
  p.temperature = 1e-2;
  EXPECT_NEAR(run(p, kFull).nll[0], 0, 1e-6);
}

// ---- against the reference ----

LossProblem with_masks(LossProblem p) {
  for (uint32_t n = 0; n < p.tokens; n += 3) p.weights[n] = n % 2 == 0 ? 0 : 0.5;
  if (p.tokens > 4) p.targets[4] = LossProblem::kIgnore;
  if (p.tokens < 3) p.weights[0] = 0.5;
  return p;
}

class Loss : public LossTest {
 protected:
  // Mesa 26.1's lavapipe compiles a large tile of cooperative matrices for half a minute in each of its forms.
  bool is_slow_to_compile() const { return GetParam().kernel_class == KernelClass::coopmat && GetParam().tile == 128; }
  void check(const LossProblem& p, const std::vector<Partition>& partitions) const {
    const LossResult expected = reference::loss(p);
    for (const Partition& partition : partitions) {
      SCOPED_TRACE(fmt::format("N {}, D {}, V {}: {}", p.tokens, p.dim, p.vocab, partition.name));
      expect_matches(run(p, partition, {.force = GetParam()}), p, expected, logit_error(p), true, GetParam().precision);
      if (HasFailure()) return;
    }
  }
};

TEST_P(Loss, SmallShapes_EveryPartitionMatchesLossAndGradients) {
  if (is_slow_to_compile()) GTEST_SKIP() << "in many forms: the smaller tiles and the other tests of this one run them";
  struct Size {
    uint32_t tokens, dim, vocab;
  };
  for (const Size& s : std::vector<Size>{{1, 1, 1}, {5, 3, 1}, {1, 3, 2}, {7, 1, 13}, {9, 6, 1}, {25, 16, 33}, {31, 67, 101}, {13, 34, 47}}) {
    const LossProblem p = with_masks(make_problem(s.tokens, s.dim, s.vocab, 11));
    std::vector<Partition> partitions = partitions_of(p, 7, 13);
    partitions.push_back({"ranges of one row", 1, kAll, kAll});
    partitions.push_back({"chunks of one column, one logits buffer", kAll, 1, 1});
    partitions.push_back({"chunks of one column, some kept", kAll, 1, 5});
    check(p, partitions);
  }
}

// Operands are the same, whether rounded when x and w were stored or when they are loaded. Depths with rows that start
// at 16 bytes in both types, in f32 only, in none.
TEST_P(Loss, SixteenBitMemory_GivesTheBitsOfF32Memory) {
  if (is_slow_to_compile()) GTEST_SKIP() << "in many forms: the smaller tiles and the other tests of this one run them";
  if (GetParam().kernel_class != KernelClass::coopmat) GTEST_SKIP() << "for operands of 16 bits";
  const DType type = storage_type(GetParam().precision);
  for (const uint32_t dim : {16U, 12U, 6U}) {
    LossProblem p = with_masks(make_problem(31, dim, 101, 19));
    p.x = widen(random_values(uint64_t{p.tokens} * dim, 20));  // not exact in 16 bits
    for (const Partition& partition : {partitions_of(p, 13, 47)[0], partitions_of(p, 13, 47)[5]}) {
      const LossRun expected = run(p, partition, {.force = GetParam()});
      for (const auto& [x_type, w_type] : {std::pair(DType::f32, type), std::pair(type, DType::f32), std::pair(type, type)})
        expect_same_run(run(p, partition, {.force = GetParam(), .x_type = x_type, .w_type = w_type}), expected);
    }
  }
}

// More than one vocab block of 512 columns and tile of 128, more than one tile of 128 rows after 28 are masked; a depth that is odd
// (no pairs), even but less than a block of any kernel, and of several blocks and a rest.
TEST_P(Loss, ShapesBeyondTilesAndVocabBlocks_EveryPartitionMatchesLossAndGradients) {
  for (const uint32_t dim : {5U, 6U}) {
    const LossProblem p = with_masks(make_problem(163, dim, 1031, 13));
    check(p, partitions_of(p, 67, 521));
  }
  const LossProblem exact = with_masks(make_problem(41, 34, 512, 15));
  check(exact, partitions_of(exact, 32, 128));
  const LossProblem beyond = with_masks(make_problem(39, 66, 513, 17));
  check(beyond, {kFull, {"vocab, one logits buffer", kAll, 512, 1}, {"vocab, one logits buffer, odd", kAll, 257, 1}});
}

struct Options {
  const char* name;
  double smoothing, z_loss, softcap, temperature;
};
const std::vector<Options> kOptions{{"none", 0, 0, 0, 1},    {"smoothing", 0.1, 0, 0, 1},   {"z-loss", 0, 1e-2, 0, 1},
                                    {"softcap", 0, 0, 3, 1}, {"temperature", 0, 0, 0, 2.5}, {"together", 0.1, 1e-3, 5, 1.5}};
LossProblem with_options(LossProblem p, const Options& options) {
  p.smoothing = static_cast<float>(options.smoothing);
  p.z_loss = static_cast<float>(options.z_loss);
  p.softcap = options.softcap;
  p.temperature = options.temperature;
  return p;
}

TEST_P(Loss, EveryOption_EveryPartitionMatchesLossAndGradients) {
  for (const Options& options : kOptions) {
    SCOPED_TRACE(options.name);
    const LossProblem p = with_options(with_masks(make_problem(37, 11, 53, 19)), options);
    check(p, partitions_of(p, 11, 19));
  }
}

// ---- given logits: point 7 of the contract ----

// With exact logits only the sums' own roundings remain. Rows of 1031: beyond vocab blocks and tiles of every kernel.
TEST_P(Loss, Point7_ExtremeLogitsAndTargetsAtEdges_MatchToTheSumsRoundings) {
  constexpr uint32_t kVocab = 1031;
  const auto row = [](double everywhere, const std::vector<std::pair<uint32_t, double>>& others) {
    std::vector<double> logits(kVocab, everywhere);
    for (const auto& [column, value] : others) logits[column] = value;
    return logits;
  };
  std::vector<std::vector<double>> rows;
  std::vector<uint32_t> targets;
  const auto add = [&](const std::vector<double>& logits, uint32_t target) {
    rows.push_back(rounded(logits, GetParam().precision));
    targets.push_back(target);
  };
  for (const uint32_t at : {0U, 1U, 511U, 512U, 520U, 521U, 1024U, 1030U}) {
    add(row(-1e4, {{at, 1e4}}), at);           // certain: exactly 0
    add(row(1e4, {{at, -1e4}}), at);           // maximally wrong
    add(row(0, {{at, 1e4}}), kVocab - 1 - at);
    add(widen(random_values(kVocab, at, 3.0F)), at);
    add(widen(random_values(kVocab, at, 1e4F)), kVocab - 1 - at);
  }
  const LossProblem p = with_logits(rows, targets);
  const LossResult expected = reference::loss(p);
  for (const Partition& partition : partitions_of(p, 11, 521)) {
    SCOPED_TRACE(partition.name);
    const LossRun actual = run(p, partition, {.force = GetParam()});
    expect_matches(actual, p, expected, 0, true, GetParam().precision);
    for (uint32_t n = 0; n < p.tokens; n += 5) EXPECT_EQ(actual.nll[n], 0.0F) << "row " << n;
  }
}

TEST_P(Loss, Point7_TiedLargestLogits_TheLowestIndexWins) {
  constexpr uint32_t kVocab = 1031;
  const std::vector<std::array<uint32_t, 2>> ties{{0, 1},   {0, 1030},  {1, 8},     {2, 9},     {3, 16},    {7, 32},    {31, 32},   {63, 64},
                                                  {5, 128}, {127, 128}, {510, 511}, {511, 512}, {100, 515}, {520, 521}, {521, 522}, {1029, 1030}};
  std::vector<std::vector<double>> rows;
  std::vector<uint32_t> targets;
  for (const bool negative : {false, true})
    for (const auto& [low, high] : ties)
      for (const uint32_t target : {low, high}) {
        auto logits = widen(random_values(kVocab, low + high));
        if (negative)
          for (double& z : logits) z -= 100;
        logits[low] = logits[high] = negative ? -3 : 3;
        rows.push_back(logits);
        targets.push_back(target);
      }
  const LossProblem p = with_logits(rows, targets);
  for (const bool wants_correct : {true, false}) {
    LossProblem half = p;
    for (uint32_t n = 0; n < p.tokens; ++n) half.weights[n] = (n % 2 == 0) == wants_correct;
    for (const Partition& partition : partitions_of(half, 11, 521)) {
      SCOPED_TRACE(partition.name);
      EXPECT_EQ(run(half, partition, {.force = GetParam()}).sums.top1_correct, wants_correct ? half.tokens / 2 : 0);
    }
  }
}

// ---- cuts against each other ----

// All logits equal: every exp is 1 and every sum over the vocabulary exact, so that no cut and no kernel may differ in one bit
// of the loss, nor of the gradient of a logit, which d_w shows (x is the identity).
TEST_P(Loss, UniformLogits_EveryPartitionGivesTheSameBits) {
  const std::vector<double> equal(1031, -2.5);
  const LossProblem p = with_logits({equal, equal, equal}, {0, 1030, 512});
  const LossRun first = run(p, kFull);  // the device's own kernel
  // Gradients of logits are operands of d_w: all 16-bit kernels round them the same way.
  const LossRun rounded_first = GetParam().precision == Precision::f32 ? first : run(p, kFull, {.force = GetParam()});
  EXPECT_NEAR(first.nll[0], std::log(1031.0), 8 * 6 * kEpsilon);  // ln: 3 ULP
  EXPECT_EQ(first.sums.top1_correct, 1);
  for (const Partition& partition : partitions_of(p, 2, 521)) {
    SCOPED_TRACE(partition.name);
    const LossRun actual = run(p, partition, {.force = GetParam()});
    expect_same_bits(actual.nll, first.nll, "nll");
    expect_same_bits(actual.d_w, rounded_first.d_w, "d_w");
    EXPECT_EQ(actual.sums.top1_correct, 1);
  }
}

// The logits are the same bits in every cut of a kernel: what differs is the order of sums. Two runs are within twice the
// bound of one against exact sums. For V = 131 that is within 64 ULP of a loss of 4, worst case.
TEST_P(Loss, Partitions_AgreeWithinTheRoundingsOfTheirSums) {
  for (const Options& options : kOptions) {
    const LossProblem p = with_options(with_masks(make_problem(37, 12, 131, 23)), options);
    LossBounds bounds = bounds_of(p, reference::loss(p), 0, GetParam().precision);
    for (Doubles* each : {&bounds.nll, &bounds.d_x, &bounds.d_w})
      for (double& bound : *each) bound *= 2;
    const LossRun full = run(p, kFull, {.force = GetParam()});
    for (const Partition& partition : partitions_of(p, 11, 31)) {
      SCOPED_TRACE(fmt::format("{}: {}", options.name, partition.name));
      const LossRun actual = run(p, partition, {.force = GetParam()});
      expect_close(actual.nll, widen(full.nll), bounds.nll, "nll");
      expect_close(actual.d_x, widen(full.d_x), bounds.d_x, "d_x");
      expect_close(actual.d_w, widen(full.d_w), bounds.d_w, "d_w");
    }
  }
}

TEST_P(Loss, Rerun_IsBitwiseEqual) {
  const LossProblem p = with_options(with_masks(make_problem(133, 12, 647, 29)), kOptions.back());
  for (const Partition& partition : partitions_of(p, 31, 257)) {
    SCOPED_TRACE(partition.name);
    expect_same_run(run(p, partition, {.force = GetParam()}), run(p, partition, {.force = GetParam()}));
  }
}

// 16-bit gradients overwrite the logits from which they are computed, in several ranges of a row.
TEST_P(Loss, SeveralSubgroupsARow_MatchLossAndGradients) {
  if (is_slow_to_compile()) GTEST_SKIP() << "in many forms: the smaller tiles and the other tests of this one run them";
  const LossProblem p = with_options(with_masks(make_problem(19, 12, 1031, 33)), kOptions[1]);
  const LossResult expected = reference::loss(p);
  for (const Partition& partition : {partitions_of(p, 11, 517)[0], partitions_of(p, 11, 517)[3]}) {
    SCOPED_TRACE(partition.name);
    expect_matches(run(p, partition, {.force = GetParam(), .row_subgroups = 4}), p, expected, logit_error(p), true, GetParam().precision);
  }
}

TEST_P(Loss, Evaluation_GivesTheTrainingLossBitForBit) {
  const LossProblem p = with_options(with_masks(make_problem(133, 12, 647, 31)), kOptions.back());
  for (const Partition& partition : partitions_of(p, 31, 257)) {
    SCOPED_TRACE(partition.name);
    const LossRun evaluated = run(p, {"", partition.row_chunk, partition.chunk, 0}, {.force = GetParam()}),
                  trained = run(p, partition, {.force = GetParam()});
    expect_same_bits(evaluated.nll, trained.nll, "nll");
    EXPECT_EQ(evaluated.sums.objective, trained.sums.objective);
    EXPECT_EQ(evaluated.sums.top1_correct, trained.sums.top1_correct);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Loss, testing::ValuesIn(all_precisions()), loss_case_name);

// ---- the reference itself ----

TEST(LossReference, Gradients_MatchFiniteDifferences) {
  for (const Options& options : kOptions)
    for (const bool masked : {false, true}) {
      SCOPED_TRACE(fmt::format("{}{}", options.name, masked ? ", masked" : ""));
      LossProblem p = with_options(make_problem(5, 3, 7, 21), options);
      if (masked) {
        p.weights = {1, 0, 0.5, 2, 1};
        p.targets[4] = LossProblem::kIgnore;
      }
      const LossResult r = reference::loss(p);
      reference::expect_gradient([&](const Doubles& x) { return reference::mean_objective(p, x, p.w); }, p.x, r.d_x, "x");
      reference::expect_gradient([&](const Doubles& w) { return reference::mean_objective(p, p.x, w); }, p.w, r.d_w, "w");
    }
}

}  // namespace
}  // namespace lapilli::test
