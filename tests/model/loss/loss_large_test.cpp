// The loss with large indices and counts: more logits than 32 bits can count, more workgroups than one dimension of a
// dispatch allows, a wide model. Few valid rows keep it short.
#include "tests/model/loss/loss_support.h"

namespace lapilli::test {
namespace {

constexpr uint32_t kAll = 0xFFFFFFFF;
constexpr uint32_t kMostGroups = 65535;  // in one dimension; more are folded into y

TEST(LossCounts, LogitsBeyond32BitsFewValidRows_MatchReference) {
  if (is_swiftshader()) GTEST_SKIP() << "SwiftShader needs a minute for the millions of workgroups that find no row; lavapipe runs them";
  LossProblem p = make_problem(32768, 4, 262144, 91);
  p.weights.assign(p.tokens, 0);
  for (const uint32_t n : {5U, 20011U, 32767U}) p.weights[n] = 1;
  const LossResult expected = reference::loss(p);
  const LossShape shape{p.tokens, p.dim, p.vocab};
  ASSERT_GT(uint64_t{p.tokens} * p.vocab, uint64_t{1} << 32);

  const LossPlan plan = plan_loss({.strategy = LossStrategy::vocab, .memory_mib = 1024}, shape, true);
  ASSERT_LT(plan.logits_buffers, plan.chunks);
  ASSERT_GE(uint64_t{plan.row_chunk} / 32 * (plan.chunk / 16), kMostGroups);  // recomputed logits, CPU tiles
  const LossRun actual = run(p, plan);
  expect_matches(actual, p, expected, 0);
  EXPECT_EQ(actual.sums.rows, 3);

  const LossPlan evaluation = plan_loss({}, shape, false);
  expect_matches(run(p, evaluation), p, expected, 0, false);
}

TEST(LossCounts, MoreRowsThanADispatchHasGroupsInX_MatchReference) {
  LossProblem p = make_problem(kMostGroups + 4600, 2, 8, 93);
  for (uint32_t n = 0; n < p.tokens; n += 1000) p.weights[n] = 0;
  const LossResult expected = reference::loss(p);
  for (const Partition& partition :
       std::vector<Partition>{{"full", kAll, kAll, 1}, {"vocab, one logits buffer", kAll, 3, 1}, {"two ranges", kMostGroups + 1, kAll, 1}}) {
    SCOPED_TRACE(partition.name);
    expect_matches(run(p, partition), p, expected, 0);
  }
}

// More workgroups than x allows in the matmul itself: one row of tiles, a vocabulary in tiles and vocab blocks.
TEST(LossCounts, MoreTilesThanADispatchHasGroupsInX_MatchReference) {
  LossProblem p = make_problem(2, 1, 1U << 21, 95);
  const LossResult expected = reference::loss(p);
  const LossRun actual = run(p, Partition{"vocab, one logits buffer", kAll, (1U << 21) - 1001, 1});
  expect_matches(actual, p, expected, 0);
}

// Each lane that reduces the vocab blocks of a row has several of them, all with the same maximum.
TEST(LossCounts, MoreVocabBlocksThanLanes_TheLowestIndexWinsAndTheSumExact) {
  const std::vector<double> equal(200003, 1.5);
  const LossRun actual = run(with_logits({equal, equal}, {0, 512}), Partition{"full", kAll, kAll, 1});
  EXPECT_EQ(actual.sums.top1_correct, 1);
  EXPECT_NEAR(actual.nll[0], std::log(200003), 16 * 6 * kEpsilon);  // ln: 3 ULP
}

// Two chunks, with the sizes for N 8192, D 2304, V 256000 within 64 MiB, at that N and D: every accessed row has its
// real address.
TEST(LossCounts, ChunksOfCutCrossEntropysShape_MatchReference) {
  if (is_swiftshader()) GTEST_SKIP() << "SwiftShader needs minutes for wide rows; lavapipe runs them";
  const LossOptions options{.strategy = LossStrategy::vocab, .memory_mib = 60};
  LossPlan plan = plan_loss(options, {8192, 2304, 256000}, true);
  LossProblem p = make_problem(8192, 2304, 2 * plan.chunk, 101, 0.125F);
  p.weights.assign(p.tokens, 0);
  for (uint32_t n = 0; n < p.tokens; n += 585) p.weights[n] = 1;
  p.weights.back() = 1;
  plan.chunks = 2;
  plan.logits_buffers = 1;
  expect_matches(run(p, plan), p, reference::loss(p), 0);
}

class LossLarge : public LossTest {};

TEST_P(LossLarge, WideModelFewRows_EveryPartitionMatchesReference) {
  const LossProblem p = make_problem(5, 4096, 37, 97, 0.125F);
  const LossResult expected = reference::loss(p);
  for (const Partition& partition : partitions_of(p, 2, 13)) {
    SCOPED_TRACE(partition.name);
    expect_matches(run(p, partition, {.force = GetParam()}), p, expected, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, LossLarge, testing::ValuesIn(all_kernels()), loss_case_name);

}  // namespace
}  // namespace lapilli::test
