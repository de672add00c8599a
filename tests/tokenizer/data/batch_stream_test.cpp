#include "tokenizer/data/batch_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "engine/base/philox.h"
#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

// Tokens 0, 1, 2, ...: a token is its position in the shard.
TokenShard counting_shard(const TempDir& dir, uint32_t count, std::vector<size_t> documents = {}) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 0u);
  return TokenShard(write_shard(dir / "s.bin", tokens, std::max(count, 3U), std::move(documents)));
}

// Known answers of Random123's own test vectors.
TEST(Philox, KnownAnswers_Match) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(BatchStream, Rows_AreWindowsOfTheShardWithShiftedTargets) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 1000);
  const BatchStream stream(shard, {.batch = 5, .context = 17}, 1);
  const Batch batch = stream.batch(42);
  EXPECT_EQ(batch.index, 42u);
  EXPECT_EQ(batch.inputs.size(), 85u);
  for (uint32_t b = 0; b < 5; ++b) {
    const uint64_t start = stream.window_start(42, b);
    for (uint32_t t = 0; t < 17; ++t) {
      EXPECT_EQ(batch.inputs[b * 17 + t], start + t);
      EXPECT_EQ(batch.targets[b * 17 + t], start + t + 1);
      EXPECT_EQ(batch.weights[b * 17 + t], 1.0f);
      EXPECT_EQ(batch.document_start[b * 17 + t], 0u);
    }
  }
  EXPECT_EQ(batch.valid_targets, 85u);
}

TEST(BatchStream, Batch_IsAFunctionOfSeedAndIndexAlone) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 1000);
  const WindowOptions options{.batch = 8, .context = 16};
  const BatchStream one(shard, options, 7), again(shard, options, 7), other(shard, options, 8);
  const std::vector<uint32_t> first = one.batch(3).inputs;
  one.batch(99);
  EXPECT_EQ(one.batch(3).inputs, first);
  EXPECT_EQ(again.batch(3).inputs, first);
  EXPECT_NE(other.batch(3).inputs, first);
  EXPECT_NE(one.batch(4).inputs, first);
  EXPECT_NE(one.batch(3 + (1ull << 32)).inputs, first) << "the index must count in all its 64 bits";
}

// Chi-square over all possible starts: 4.5 standard deviations of a chi-square with 83 degrees of freedom.
TEST(BatchStream, WindowStarts_AreUniformOverEveryPosition) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 100);
  const BatchStream stream(shard, {.batch = 4, .context = 16}, 123);
  constexpr int kStarts = 100 - 16;
  std::vector<double> counts(kStarts, 0.0);
  constexpr int kBatches = 21000;
  for (int i = 0; i < kBatches; ++i) {
    for (uint32_t row = 0; row < 4; ++row) counts.at(stream.window_start(static_cast<uint64_t>(i), row)) += 1;
  }
  const double expected = 4.0 * kBatches / kStarts;
  double chi_square = 0;
  for (const double count : counts) chi_square += (count - expected) * (count - expected) / expected;
  EXPECT_LT(std::abs(chi_square - (kStarts - 1)), 4.5 * std::sqrt(2.0 * (kStarts - 1)));
}

// Rows of a batch, and batches, draw independently: neighbours coincide as often as expected of independent draws,
// about once in 84.
TEST(BatchStream, WindowStarts_OfNeighboursCoincideOnlyByChance) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 100);
  const BatchStream stream(shard, {.batch = 4, .context = 16}, 123);
  int same_row = 0, same_batch = 0;
  for (uint64_t i = 0; i < 8400; ++i) {
    same_row += stream.window_start(i, 0) == stream.window_start(i, 1);
    same_batch += stream.window_start(i, 0) == stream.window_start(i + 1, 0);
  }
  EXPECT_NEAR(same_row, 100, 45);  // 4.5 standard deviations of a count of mean 100
  EXPECT_NEAR(same_batch, 100, 45);
}

TEST(BatchStream, SmallestShard_HasOneWindow) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 17);
  const BatchStream stream(shard, {.batch = 3, .context = 16}, 1);
  EXPECT_EQ(stream.batch(0).targets.back(), 16u);
  EXPECT_ERROR_MENTIONS(error_of([&] { BatchStream(shard, {.batch = 3, .context = 17}, 1); }), "s.bin", "17 tokens", "at least 18");
}

// Shards whose tokens say which one they are of: the k-th has tokens 1000 k and up.
struct MixedShards {
  explicit MixedShards(std::span<const double> weights) {
    for (size_t k = 0; k < weights.size(); ++k) {
      std::vector<uint32_t> tokens(200 + 100 * k);
      std::iota(tokens.begin(), tokens.end(), static_cast<uint32_t>(1000 * k));
      shards.emplace_back(write_shard(dir / fmt::format("{}.bin", k), tokens, 5000));
    }
    for (size_t k = 0; k < weights.size(); ++k) parts.push_back({.shard = &shards[k], .weight = weights[k]});
  }

  TempDir dir;
  std::vector<TokenShard> shards;
  std::vector<WeightedShard> parts;
};

TEST(BatchStream, OneShardOfAMix_SameBatchesAsAlone) {
  const MixedShards mix(std::array{0.3});
  const WindowOptions options{.batch = 7, .context = 13};
  const BatchStream alone(mix.shards[0], options, 5), mixed(mix.parts, options, 5);
  for (const uint64_t index : {0ull, 1ull, 1ull << 40}) EXPECT_EQ(mixed.batch(index).inputs, alone.batch(index).inputs);
}

TEST(BatchStream, Mix_EveryWindowIsWhollyOfTheShardItNames) {
  const MixedShards mix(std::array{2.0, 1.0, 1.0});
  const BatchStream stream(mix.parts, {.batch = 31, .context = 17}, 5);
  const Batch batch = stream.batch(9);
  std::set<size_t> seen;
  for (uint32_t b = 0; b < 31; ++b) {
    const size_t shard = stream.window_shard(9, b);
    seen.insert(shard);
    for (uint32_t t = 0; t < 17; ++t) {
      EXPECT_EQ(batch.inputs[b * 17 + t], 1000 * shard + stream.window_start(9, b) + t);
      EXPECT_EQ(batch.targets[b * 17 + t], batch.inputs[b * 17 + t] + 1);
    }
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST(BatchStream, Mix_SeekGivesWhatReplayGives_AndAnotherSeedAnother) {
  const MixedShards mix(std::array{0.7, 0.3});
  const WindowOptions options{.batch = 8, .context = 16};
  const BatchStream replayed(mix.parts, options, 7), sought(mix.parts, options, 7), other(mix.parts, options, 8);
  std::vector<uint32_t> last;
  for (uint64_t index = 0; index <= 50; ++index) last = replayed.batch(index).inputs;
  EXPECT_EQ(sought.batch(50).inputs, last);
  EXPECT_NE(other.batch(50).inputs, last);
  EXPECT_NE(sought.batch(51).inputs, last);
}

// Weights need not sum to 1. Within 4.5 standard deviations of a binomial distribution; windows of every shard stay uniform.
TEST(BatchStream, Mix_SharesAreTheWeights) {
  const std::array weights{7.0, 2.5, 0.5};
  const MixedShards mix(weights);
  const BatchStream stream(mix.parts, {.batch = 50, .context = 16}, 123);
  constexpr uint64_t kBatches = 400;
  constexpr double kWindows = kBatches * 50.0;
  std::array<double, 3> counts{}, places{};
  for (uint64_t index = 0; index < kBatches; ++index) {
    for (uint32_t row = 0; row < 50; ++row) {
      const size_t shard = stream.window_shard(index, row);
      counts[shard] += 1;
      places[shard] += static_cast<double>(stream.window_start(index, row)) / static_cast<double>(mix.shards[shard].token_count() - 16);
    }
  }
  for (size_t k = 0; k < 3; ++k) {
    const double share = weights[k] / 10;
    EXPECT_NEAR(counts[k], kWindows * share, 4.5 * std::sqrt(kWindows * share * (1 - share))) << k;
    EXPECT_NEAR(places[k] / counts[k], 0.5, 4.5 * std::sqrt(1 / 12.0 / counts[k]) + 0.01) << k;  // starts are whole numbers: up to 1/184 lower
  }
}

TEST(BatchStream, MixWithAShortShard_NamesIt) {
  const MixedShards mix(std::array{1.0, 1.0});
  EXPECT_ERROR_MENTIONS(error_of([&] { BatchStream(mix.parts, {.batch = 3, .context = 250}, 1); }), "0.bin", "200 tokens");
}

TEST(BatchStream, DocumentMask_SeparatesDocumentsAndMasksTheirFirstTargets) {
  const TempDir dir;
  const std::vector<size_t> lengths = {5, 1, 9, 3, 12};
  const TokenShard shard = counting_shard(dir, 30, lengths);
  const BatchStream stream(shard, {.batch = 16, .context = 11, .document_mask = true}, 2);
  const Batch batch = stream.batch(0);
  uint64_t valid = 0, bytes = 0;
  for (size_t row = 0; row < batch.inputs.size(); ++row) {
    const uint32_t position = batch.inputs[row], window_start = batch.inputs[row - row % 11];
    const uint64_t document = shard.document_of(position);
    const uint64_t begin = std::max<uint64_t>(shard.document_starts()[document], window_start);
    EXPECT_EQ(batch.document_start[row], begin - window_start);
    const bool same_document = shard.document_of(batch.targets[row]) == document;
    EXPECT_EQ(batch.weights[row], same_document ? 1.0f : 0.0f);
    valid += same_document;
    bytes += same_document ? batch.targets[row] % 3 : 0;
  }
  EXPECT_EQ(batch.valid_targets, valid);
  EXPECT_EQ(batch.target_bytes, bytes);
  EXPECT_LT(valid, batch.inputs.size()) << "the case must cross a boundary to mean anything";
}

TEST(BatchStream, WithoutMask_DocumentsMakeNoDifference) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 30, {5, 1, 9, 3, 12});
  const Batch batch = BatchStream(shard, {.batch = 16, .context = 11}, 2).batch(0);
  EXPECT_EQ(batch.valid_targets, 16u * 11);
  EXPECT_TRUE(std::ranges::all_of(batch.document_start, [](uint32_t start) { return start == 0; }));
}

TEST(SortByToken, AnyInputs_OrderIsAStableSortCutIntoSegments) {
  for (const uint32_t vocab_size : {1u, 2u, 7u, 5000u}) {
    Batch batch;
    for (uint32_t i = 0; i < 509; ++i) batch.inputs.push_back((i * 2654435761u >> 7) % vocab_size);
    sort_by_token(batch);
    std::vector<uint32_t> expected(batch.inputs.size());
    std::iota(expected.begin(), expected.end(), 0u);
    std::ranges::stable_sort(expected, {}, [&](uint32_t row) { return batch.inputs[row]; });
    EXPECT_EQ(batch.order, expected);
    ASSERT_EQ(batch.segment_start.size(), batch.inputs.size() + 1);
    std::map<uint32_t, uint32_t> counts;
    for (const uint32_t token : batch.inputs) ++counts[token];
    ASSERT_EQ(batch.segment_count, counts.size());
    uint32_t segment = 0, begin = 0;
    for (const auto& [token, count] : counts) {
      EXPECT_EQ(batch.segment_start[segment++], begin);
      EXPECT_EQ(batch.inputs[batch.order[begin]], token);
      begin += count;
    }
    for (; segment < batch.segment_start.size(); ++segment) EXPECT_EQ(batch.segment_start[segment], 509u);
  }
}

// Every later token is a target exactly once, with at least context - stride tokens before it in its window.
TEST(EvalWindows, AnyShape_ScoresEveryTokenButTheFirstOnce) {
  const TempDir dir;
  for (const uint32_t count : {2u, 3u, 16u, 17u, 18u, 33u, 50u, 97u}) {
    const TokenShard shard = counting_shard(dir, count);
    for (const uint32_t context : {1u, 2u, 16u}) {
      for (const uint32_t stride : {0u, 1u, 3u, 16u}) {
        if (stride > context) continue;
        const uint32_t step = stride == 0 ? context : stride;
        for (const uint32_t batch_size : {1u, 4u}) {
          const EvalWindows windows(shard, {.batch = batch_size, .context = context}, stride);
          std::vector<int> scored(count, 0);
          uint64_t bytes = 0;
          for (uint64_t i = 0; i < windows.batch_count(); ++i) {
            const Batch batch = windows.batch(i);
            bytes += batch.target_bytes;
            for (size_t row = 0; row < batch.inputs.size(); ++row) {
              if (batch.weights[row] == 0) continue;
              EXPECT_EQ(batch.targets[row], batch.inputs[row] + 1);
              ++scored[batch.targets[row]];
              const auto before = static_cast<uint32_t>(row % context) + 1;
              EXPECT_GE(before, std::min(context - step, batch.targets[row]));
            }
          }
          std::vector<int> expected(count, 1);
          expected[0] = 0;
          EXPECT_EQ(scored, expected) << count << " tokens, context " << context << ", stride " << stride;
          EXPECT_EQ(windows.target_count(), count - 1);
          EXPECT_EQ(bytes, shard.bytes_of_range(1, count));
        }
      }
    }
  }
}

TEST(EvalWindows, MaxTargets_ScoresOnlyTheFirst) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 100);
  const EvalWindows windows(shard, {.batch = 2, .context = 16}, 0, 40);
  EXPECT_EQ(windows.window_count(), 3u);
  uint64_t valid = 0;
  for (uint64_t i = 0; i < windows.batch_count(); ++i) valid += windows.batch(i).valid_targets;
  EXPECT_EQ(valid, 40u);
}

TEST(EvalWindows, DocumentMask_LeavesOutFirstTokensOfDocuments) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 30, {5, 1, 9, 3, 12});
  const EvalWindows windows(shard, {.batch = 2, .context = 8, .document_mask = true});
  uint64_t valid = 0;
  for (uint64_t i = 0; i < windows.batch_count(); ++i) valid += windows.batch(i).valid_targets;
  EXPECT_EQ(valid, 30u - 5u);
}

TEST(EvalWindows, ImpossibleSettings_AreErrors) {
  const TempDir dir;
  const TokenShard shard = counting_shard(dir, 30);
  EXPECT_ERROR_MENTIONS(error_of([&] { EvalWindows(shard, {.batch = 1, .context = 8}, 9); }), "stride of 9", "8");
  const TokenShard single = counting_shard(dir, 1);
  EXPECT_ERROR_MENTIONS(error_of([&] { EvalWindows(single, {.batch = 1, .context = 8}); }), "s.bin", "at least 2");
}

TEST(Windows, ShardOfAnotherName_ErrorsSayThatName) {
  const TempDir dir;
  const TokenShard shard(write_shard(dir / "temporary.bin", {1}, 8), TokenShard::Verify::kAll, "story.txt");
  const std::string errors[] = {error_of([&] { EvalWindows(shard, {}); }), error_of([&] { BatchStream(shard, {}, 1); }),
                                error_of([&] { shard.require_tokenizer(1, "x"); }), error_of([&] { shard.require_vocab_size(1, "x"); })};
  for (const std::string& error : errors) {
    EXPECT_ERROR_MENTIONS(error, "'story.txt'");
    EXPECT_EQ(error.find("temporary"), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace lapilli::testing
