// The loss plan: chunks of logits and their memory. Only the last tests need a device.
#include "model/loss/linear_cross_entropy.h"
#include "model/transformer/config.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

constexpr uint64_t kMib = 1024 * 1024;
constexpr uint32_t kGrain = 512;  // minimum columns of a chunk

LossOptions chunked(uint32_t chunk, uint64_t memory_mib = 0) { return {.strategy = LossStrategy::vocab, .chunk = chunk, .memory_mib = memory_mib}; }

TEST(LossPlan, Stash_KeepsWhatFitsAndTheLastChunk) {
  const LossPlan one = plan_loss(chunked(256), {1024, 64, 1024}, true);
  EXPECT_EQ(one.logits_buffers, 1U);
  EXPECT_EQ(one.chunks, 4U);
  EXPECT_TRUE(one.recomputes(0) && one.recomputes(1) && one.recomputes(2));
  EXPECT_FALSE(one.recomputes(3));
  const LossPlan two = plan_loss(chunked(256, 3), {1024, 64, 1024}, true);  // copies of half a MiB, two logits buffers of 1 MiB
  EXPECT_EQ(two.logits_buffers, 2U);
  EXPECT_FALSE(two.recomputes(0) || two.recomputes(3));
  EXPECT_TRUE(two.recomputes(1) && two.recomputes(2));
}

// ---- properties over many shapes ----

struct PlanCase {
  LossShape shape;
  uint64_t memory_mib;
  std::string name() const { return fmt::format("N {}, D {}, V {}, {} MiB", shape.tokens, shape.dim, shape.vocab, memory_mib); }
  uint64_t budget() const { return memory_mib * kMib; }
};
std::vector<PlanCase> plan_cases() {
  std::vector<PlanCase> cases;
  for (const uint32_t tokens : {1U, 2U, 127U, 129U, 1000U, 4096U, 8192U, 32768U, 100003U, 1U << 20})
    for (const uint32_t dim : {1U, 3U, 64U, 768U, 2304U, 4096U})
      for (const uint32_t vocab : {1U, 2U, 17U, 256U, 511U, 513U, 1031U, 50257U, 151936U, 256000U, 262144U, 1U << 24})
        for (const uint64_t mib : {0U, 1U, 3U, 16U, 64U, 256U, 1024U, 100000U}) cases.push_back({{tokens, dim, vocab}, mib});
  return cases;
}
uint64_t bytes_of(const LossPlan& plan, const LossShape& shape) { return plan.logits_buffer_bytes() + 8ULL * plan.row_chunk * shape.dim; }
// One logits buffer of min(V, 512) columns, ranges of 128 rows.
bool minimum_fits(const PlanCase& c) {
  const uint64_t rows = std::min<uint64_t>(128, c.shape.tokens), columns = padded_row_stride(std::min(c.shape.vocab, kGrain));
  return rows * (8ULL * c.shape.dim + 4 * columns) <= c.budget();
}

// Properties of every plan.
std::string fault_of(const LossPlan& plan, const LossShape& shape, bool training) {
  const uint64_t rows = uint64_t{plan.row_chunks} * plan.row_chunk, columns = uint64_t{plan.chunks} * plan.chunk;
  if (plan.row_chunk == 0 || plan.chunk == 0 || plan.row_chunk > shape.tokens || plan.chunk > shape.vocab) return "an empty or too large part";
  if (rows < shape.tokens || rows - plan.row_chunk >= shape.tokens) return "the ranges do not cover N, or the last is empty";
  if (columns < shape.vocab || columns - plan.chunk >= shape.vocab) return "the chunks do not cover V, or the last is empty";
  if (plan.logits_buffer_stride() < plan.chunk || plan.logits_buffer_stride() % 16 != 0) return "the stride of a logits buffer";
  if (uint64_t{plan.row_chunk} * plan.logits_buffer_stride() >= uint64_t{1} << 31) return "a logits buffer beyond 2^31 elements";
  if (uint64_t{plan.chunk} * shape.dim >= uint64_t{1} << 32) return "a chunk of w beyond 32-bit indices";
  if (2.0 * plan.row_chunk * shape.dim * plan.chunk > 1e11 && plan.chunk > kGrain) return "a matmul that takes too long";
  if (plan.logits_buffers > plan.chunks || (plan.logits_buffers == 0) == training) return "logits buffers";
  if (!training) return "";
  // A logits buffer holds the logits of one kept chunk at a time, and the last one is free when chunks are recomputed into it.
  std::vector<bool> taken(plan.logits_buffers, false);
  uint32_t recomputed = 0;
  for (uint32_t c = 0; c < plan.chunks; ++c) {
    if (plan.logits_buffer_of(c) >= plan.logits_buffers) return "a chunk without a logits buffer";
    if (plan.recomputes(c)) {
      ++recomputed;
      if (plan.logits_buffer_of(c) + 1 != plan.logits_buffers) return "recomputed into a kept logits buffer";
    } else {
      if (taken[plan.logits_buffer_of(c)]) return "two kept chunks in one logits buffer";
      taken[plan.logits_buffer_of(c)] = true;
    }
  }
  if (recomputed != plan.chunks - plan.logits_buffers) return "recomputes other than what is not kept";
  if (recomputed > 0 && (plan.strategy != LossStrategy::vocab)) return "full or tokens recompute";
  if (plan.strategy == LossStrategy::full && plan.row_chunks != 1) return "full in ranges";
  const double flops = plan.flops_per_logit_and_dim(shape.vocab);
  if (recomputed == 0 ? flops != 6 : flops <= 6 || flops >= 8) return "FLOPs";
  return "";
}

TEST(LossPlan, EveryStrategyShapeAndBudget_IsWhole) {
  for (const PlanCase& c : plan_cases())
    for (const LossStrategy strategy : {LossStrategy::automatic, LossStrategy::full, LossStrategy::tokens, LossStrategy::vocab}) {
      const LossOptions options{.strategy = strategy, .memory_mib = c.memory_mib};
      const LossPlan plan = plan_loss(options, c.shape, true);
      ASSERT_EQ(fault_of(plan, c.shape, true), "") << c.name() << ": " << plan.to_string();
      ASSERT_TRUE(strategy == LossStrategy::automatic || plan.strategy == strategy) << c.name();
      const LossPlan evaluation = plan_loss(options, c.shape, false);
      ASSERT_EQ(fault_of(evaluation, c.shape, false), "") << c.name() << ": evaluation, " << evaluation.to_string();
      for (const LossPlan& candidate : loss_candidates(options, c.shape))
        ASSERT_EQ(fault_of(candidate, c.shape, true), "") << c.name() << ": candidate, " << candidate.to_string();
    }
}

constexpr uint64_t kMostLogitsBufferFloats = uint64_t{1} << 30;  // as elements of 16 bits, twice as many, they are still indexed in 31 bits

TEST(LossPlan, ChunkGiven_IsKeptWhereIndicesAllow) {
  for (const PlanCase& c : plan_cases())
    for (const uint32_t chunk : {1U, 7U, 512U, 5003U}) {
      const LossPlan vocab = plan_loss(chunked(chunk, c.memory_mib), c.shape, true);
      const uint64_t logits_buffer = uint64_t{vocab.row_chunk} * padded_row_stride(std::min(chunk, c.shape.vocab));
      if (logits_buffer < kMostLogitsBufferFloats) {
        ASSERT_EQ(vocab.chunk, std::min(chunk, c.shape.vocab)) << c.name();
      }
      ASSERT_LT(uint64_t{vocab.row_chunk} * vocab.logits_buffer_stride(), kMostLogitsBufferFloats) << c.name() << ": " << vocab.to_string();
      ASSERT_GE(uint64_t{vocab.chunks} * vocab.chunk, c.shape.vocab) << c.name();
      const LossPlan tokens = plan_loss({.strategy = LossStrategy::tokens, .chunk = chunk, .memory_mib = c.memory_mib}, c.shape, true);
      ASSERT_EQ(tokens.row_chunk, std::min(chunk, c.shape.tokens)) << c.name();
      ASSERT_EQ(fault_of(tokens, c.shape, true), "") << c.name() << ": " << tokens.to_string();
    }
}

TEST(LossPlan, MinimumFits_VocabAutomaticAndCandidatesStayWithinTheBudget) {
  uint32_t tight = 0;
  for (const PlanCase& c : plan_cases()) {
    if (!minimum_fits(c)) continue;
    tight += !minimum_fits({c.shape, c.memory_mib / 4});
    const LossPlan vocab = plan_loss({.strategy = LossStrategy::vocab, .memory_mib = c.memory_mib}, c.shape, true);
    ASSERT_LE(bytes_of(vocab, c.shape), c.budget()) << c.name() << ": " << vocab.to_string();
    for (const LossPlan& plan : loss_candidates({.memory_mib = c.memory_mib}, c.shape))
      ASSERT_LE(bytes_of(plan, c.shape), c.budget()) << c.name() << ": " << plan.to_string();
  }
  EXPECT_GT(tight, 100U);  // covered by the cases
}

TEST(LossPlan, TokensOfOneRowGrainFit_TokensStaysWithinTheBudget) {
  for (const PlanCase& c : plan_cases()) {
    // 128 rows, all their logits, each of their chunks with a rounded stride.
    const LossPlan least = plan_loss({.strategy = LossStrategy::tokens, .chunk = 128, .memory_mib = c.memory_mib}, c.shape, true);
    if (bytes_of(least, c.shape) > c.budget()) continue;
    const LossPlan plan = plan_loss({.strategy = LossStrategy::tokens, .memory_mib = c.memory_mib}, c.shape, true);
    ASSERT_LE(bytes_of(plan, c.shape), c.budget()) << c.name() << ": " << plan.to_string();
  }
}

TEST(LossPlan, Candidates_AreDifferentAndTheFirstIsAutomatic) {
  for (const PlanCase& c : plan_cases()) {
    const auto candidates = loss_candidates({.memory_mib = c.memory_mib}, c.shape);
    ASSERT_FALSE(candidates.empty()) << c.name();
    ASSERT_EQ(plan_loss({.memory_mib = c.memory_mib}, c.shape, true).to_string(), candidates.front().to_string()) << c.name();
    for (size_t i = 0; i < candidates.size(); ++i)
      for (size_t j = 0; j < i; ++j) ASSERT_NE(candidates[i].to_string(), candidates[j].to_string()) << c.name();
  }
}

// More memory never means more work.
TEST(LossPlan, MoreMemory_RecomputesNoMore) {
  for (const PlanCase& c : plan_cases()) {
    if (!minimum_fits(c) || c.memory_mib >= 1024) continue;
    const auto flops = [&](uint64_t mib) {
      return plan_loss({.strategy = LossStrategy::vocab, .memory_mib = mib}, c.shape, true).flops_per_logit_and_dim(c.shape.vocab);
    };
    ASSERT_LE(flops(4 * c.memory_mib), flops(c.memory_mib) + 0.25) << c.name();  // chunks widen with the budget: steps of a logits buffer
  }
}

// ---- the device's memory ----

// The shape of the Cut Cross-Entropy paper's table (arXiv:2411.09009): 28,000 MB unfused, 1,164 MB with theirs.
TEST(LossMemory, CutCrossEntropysShape_NeedsLessThan64MiB) {
  const LossOptions options{.strategy = LossStrategy::vocab, .memory_mib = 63};
  const LossShape shape{.tokens = 8192, .dim = 2304, .vocab = 256000};
  Arena arena(device().caps(), "loss");
  const LinearCrossEntropy loss(arena, device().caps(), shape, options, plan_loss(options, shape, true));
  EXPECT_LE(loss.scratch_bytes(), 64 * kMib);
  const uint64_t before = device().allocated_bytes();
  arena.commit(device());
  EXPECT_LE(device().allocated_bytes() - before, 64 * kMib);
}

TEST(LossMemory, HugeVocabulary_StaysWithinItsChunkBudget) {
  constexpr uint32_t kTokens = 4096, kDim = 64, kVocab = 131072;
  const LossOptions options{.strategy = LossStrategy::vocab, .memory_mib = 32};
  Arena arena(device().caps(), "loss");
  const LossShape shape{kTokens, kDim, kVocab};
  const LinearCrossEntropy loss(arena, device().caps(), shape, options, plan_loss(options, shape, true));
  EXPECT_LE(bytes_of(loss.plan(), shape), 32 * kMib);
  EXPECT_LE(loss.scratch_bytes(), 34 * kMib);  // and the state of rows and vocab blocks
  const uint64_t before = device().allocated_bytes();
  arena.commit(device());
  const uint64_t taken = device().allocated_bytes() - before;  // the device's own accounting
  EXPECT_LE(taken, loss.scratch_bytes() + 8 * 256);
  EXPECT_LT(taken * 50, uint64_t{kTokens} * kVocab * 4);  // all logits would be 2 GiB
}

// Limits that a tokenizer or a configuration can reach: an Error with the limit, not an abort.
TEST(LossPlan, VocabularyBeyondTheLimit_IsAnError) {
  EXPECT_NO_THROW(plan_loss({}, {.tokens = 4, .dim = 4, .vocab = 1U << 24}, true));
  try {
    plan_loss({}, {.tokens = 4, .dim = 4, .vocab = (1U << 24) + 1}, true);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("16777217"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lapilli::test
