// The loss with workgroup-scope matrices: on devices with VK_NV_cooperative_matrix2, and emulated. Emulated kernels
// take seconds to compile, so a few shapes cover every edge: whole and partial tiles of rows, columns and depths, logits buffers
// whose rows start at 16 bytes and chunks that end within a tile. The masking contract is in loss_masking_test.cpp.
#include "tests/model/loss/loss_support.h"

namespace lapilli::test {
namespace {

class LossCoopmat2 : public LossTest {
 protected:
  const MatmulKernel& kernel() const { return GetParam(); }
  void check(const LossProblem& p, const std::vector<Partition>& partitions) const {
    const LossResult expected = reference::loss(p);
    for (const Partition& partition : partitions) {
      SCOPED_TRACE(fmt::format("N {}, D {}, V {}: {}", p.tokens, p.dim, p.vocab, partition.name));
      expect_matches(run(p, partition, {.force = kernel()}), p, expected, logit_error(p), partition.logits_buffers > 0, kernel().precision);
      if (HasFailure()) return;
    }
  }
};

LossProblem with_masks(LossProblem p) {
  for (uint32_t n = 0; n < p.tokens; n += 3) p.weights[n] = n % 2 == 0 ? 0 : 0.5;
  return p;
}
std::vector<Partition> with_evaluation(std::vector<Partition> partitions) {
  partitions.push_back({"evaluation", partitions.front().row_chunk, partitions[2].chunk, 0});
  return partitions;
}

TEST_P(LossCoopmat2, TilesAndEdges_EveryPartitionMatchesLossAndGradients) {
  const LossProblem p = with_masks(make_problem(211, 72, 331, 101));
  check(p, with_evaluation(partitions_of(p, 149, 137)));
  const LossProblem whole = make_problem(128, 64, 256, 103);
  check(whole, with_evaluation(partitions_of(whole, 64, 128)));
}

TEST_P(LossCoopmat2, EveryOption_EveryPartitionMatchesLossAndGradients) {
  LossProblem p = with_masks(make_problem(70, 16, 139, 105));
  p.smoothing = 0.1F, p.z_loss = 1e-3F, p.softcap = 5, p.temperature = 1.5;
  check(p, with_evaluation(partitions_of(p, 37, 71)));
}

// Also: a certain prediction has a loss of exactly 0, and of equal logits the one with the lowest index is the hit.
TEST_P(LossCoopmat2, ExtremeAndTiedLogits_MatchToTheSumsRoundings) {
  constexpr uint32_t kVocab = 203;
  std::vector<std::vector<double>> rows;
  std::vector<uint32_t> targets;
  const auto add = [&](std::vector<double> logits, uint32_t target) {
    rows.push_back(rounded(std::move(logits), kernel().precision));
    targets.push_back(target);
  };
  for (const uint32_t at : {0U, 63U, 64U, 127U, 128U, 202U}) {
    std::vector<double> certain(kVocab, -1e4), tied(kVocab, -100), close(kVocab, -100);
    certain[at] = 1e4;
    tied[at] = tied[kVocab - 1 - at] = -3;
    close[at] = 3;
    close[at == 0 ? 1 : at - 1] = 2.75;  // before it, and not the largest
    add(certain, at);
    add(certain, kVocab - 1 - at);
    add(tied, std::min(at, kVocab - 1 - at));
    add(close, at);
    add(widen(random_values(kVocab, at, 1e4F)), at);
  }
  const LossProblem p = taken(with_logits(rows, targets), kernel());
  const LossResult expected = reference::loss(p);
  for (const Partition& partition : partitions_of(p, 11, 97)) {
    SCOPED_TRACE(partition.name);
    const LossRun actual = run(p, partition, {.force = kernel()});
    expect_matches(actual, p, expected, 0, true, kernel().precision);
    for (uint32_t n = 0; n < p.tokens; n += 5) EXPECT_EQ(actual.nll[n], 0.0F) << "row " << n;
  }
}

// x is rounded when it is gathered or when it was stored; and a second run gives the same bits.
TEST_P(LossCoopmat2, SixteenBitMemoryAndRerun_GiveTheSameBits) {
  LossProblem p = with_masks(make_problem(101, 24, 139, 107));
  p.x = widen(random_values(p.x.size(), 108));  // not exact in 16 bits
  const Partition partition = partitions_of(p, 67, 71).back();
  const LossRun expected = run(p, partition, {.force = kernel()});
  expect_same_run(run(p, partition, {.force = kernel(), .x_type = storage_type(kernel().precision)}), expected);
}

INSTANTIATE_TEST_SUITE_P(Kernels, LossCoopmat2, testing::ValuesIn([] {
                           std::vector<MatmulKernel> kernels;
                           for (const MatmulKernel& kernel : few_precisions())
                             if (kernel.kernel_class == KernelClass::coopmat2) kernels.push_back(kernel);
                           return kernels;
                         }()),
                         loss_case_name);

// A tile that is not square, and one whose size leaves no registers for a second matrix.
TEST(LossTiles, LargestOfWorkgroups_AreHalved) {
  MatmulKernel kernel{.kernel_class = KernelClass::coopmat2, .tile = 128, .precision = Precision::f16, .tile_cols = 256, .emulated = true};
  if (const auto reason = why_not(kernel)) GTEST_SKIP() << *reason;
  const LossProblem p = make_problem(130, 8, 261, 109);
  expect_matches(run(p, partitions_of(p, 130, 261).front(), {.force = kernel}), p, Precision::f16);
}

TEST(LossTiles, MatricesNotAlignedTo16Bytes_AreNotSupported) {
  const MatmulKernel kernel{.kernel_class = KernelClass::coopmat2, .precision = Precision::f16};
  const auto takes = [&](uint32_t dim, uint32_t chunk, uint32_t teacher_dim = 0) {
    const LossPlan plan{.row_chunk = 10, .chunk = chunk, .chunks = chunk == 100 ? 1U : 4U};
    return LinearCrossEntropy::supports_plan(kernel, {10, dim, 100, teacher_dim}, plan);
  };
  EXPECT_TRUE(takes(8, 31));
  EXPECT_TRUE(takes(6, 32));
  EXPECT_TRUE(takes(6, 100)) << "one chunk begins where w does";
  EXPECT_FALSE(takes(6, 30));
  EXPECT_FALSE(takes(7, 100)) << "rows of 16 bits come in pairs";
  EXPECT_FALSE(takes(8, 31, 6));
}

}  // namespace
}  // namespace lapilli::test
