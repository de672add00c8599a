#include "tokenizer/data/ngram.h"

#include <cmath>

#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

NgramReference reference_of(const TempDir& dir, const std::vector<uint32_t>& train, const std::vector<uint32_t>& val, uint32_t vocab_size,
                            uint64_t max_train_tokens = UINT64_MAX) {
  const TokenShard a(write_shard(dir / "train.bin", train, vocab_size));
  const TokenShard b(write_shard(dir / "val.bin", val, vocab_size));
  return ngram_reference(a, b, max_train_tokens);
}

std::vector<uint32_t> skewed_tokens(size_t count, uint32_t vocab_size) {
  std::vector<uint32_t> tokens;
  uint64_t state = 1;
  while (tokens.size() < count) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto r = static_cast<uint32_t>(state >> 40);
    tokens.push_back(r % (1 + r / 7 % vocab_size));
  }
  return tokens;
}

TEST(NgramReference, UnigramEntropy_KnownFrequencies_IsExact) {
  const TempDir dir;
  const NgramReference reference = reference_of(dir, {0, 1, 2, 3}, {0, 0, 1, 2}, 4);
  EXPECT_NEAR(reference.unigram_entropy, 1.5 * std::log(2.0), 1e-12);
  EXPECT_NEAR(reference.unigram_cross_entropy, std::log(4.0), 1e-12);  // (1 + 1) / (4 + 4) each
  EXPECT_EQ(reference.scored_tokens, 3u);
}

// Each validation shard "v w" scores one bigram, so its cross-entropy is -ln p(w | v).
TEST(NgramReference, Bigram_EveryContext_SumsToOneAndIsPositive) {
  const TempDir dir;
  constexpr uint32_t kVocab = 9;
  std::vector<uint32_t> train = skewed_tokens(60, kVocab - 2);  // two tokens are never seen
  train.push_back(kVocab - 2);                                  // one of them once, at the end: never a context
  for (uint32_t v = 0; v < kVocab; ++v) {
    double total = 0;
    for (uint32_t w = 0; w < kVocab; ++w) {
      const double p = std::exp(-reference_of(dir, train, {v, w}, kVocab).bigram_cross_entropy);
      EXPECT_GT(p, 0);
      total += p;
    }
    EXPECT_NEAR(total, 1.0, 1e-12) << "context " << v;
  }
}

TEST(NgramReference, Bigram_DeterministicCycle_HasEntropyNearZero) {
  const TempDir dir;
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < 7000; ++i) tokens.push_back(i % 7);
  const NgramReference reference = reference_of(dir, tokens, tokens, 50);
  EXPECT_LT(reference.bigram_cross_entropy, 0.01);
  EXPECT_NEAR(reference.unigram_entropy, std::log(7.0), 1e-9);
}

TEST(NgramReference, Bigram_IndependentTokens_GainsNothingOverUnigram) {
  const TempDir dir;
  const NgramReference reference = reference_of(dir, skewed_tokens(300000, 20), skewed_tokens(300000, 20), 20);
  EXPECT_NEAR(reference.bigram_cross_entropy, reference.unigram_entropy, 0.01);
}

// Enough tokens for several counting blocks; by hand for one bigram with the formula in ngram.cpp.
TEST(NgramReference, Bigram_CountsAcrossBlocks_MatchTheFormula) {
  const TempDir dir;
  std::vector<uint32_t> train;
  for (uint32_t i = 0; i < 6000000; ++i) train.push_back(i % 3);  // 0 1 2 0 1 2 ...: three bigrams of count 2 million
  const double p = std::exp(-reference_of(dir, train, {1, 2}, 3).bigram_cross_entropy);
  const double d = 0.5, c = 2000000;  // no bigram occurs once or twice: the discount falls back to one half
  EXPECT_NEAR(p, (c - d) / c + d / c / 3, 1e-12);
}

TEST(NgramReference, MaxTrainTokens_LimitsWhatIsCounted) {
  const TempDir dir;
  const std::vector<uint32_t> train = {0, 1, 0, 1, 2, 2, 2, 2};
  EXPECT_EQ(reference_of(dir, train, {0, 1}, 3, 4).train_tokens, 4u);
  EXPECT_EQ(reference_of(dir, train, {0, 1}, 3, 4).bigram_cross_entropy, reference_of(dir, {0, 1, 0, 1}, {0, 1}, 3).bigram_cross_entropy);
}

TEST(NgramReference, OtherVocabulary_IsAnError) {
  const TempDir dir;
  const TokenShard a(write_shard(dir / "train.bin", {0, 1, 2}, 3)), b(write_shard(dir / "val.bin", {0, 1, 2}, 4));
  EXPECT_ERROR_MENTIONS(error_of([&] { ngram_reference(a, b); }), "val.bin", "train.bin", "vocabulary");
}

}  // namespace
}  // namespace lapilli::testing
