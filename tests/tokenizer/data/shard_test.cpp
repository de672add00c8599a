#include "tokenizer/data/shard.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

std::vector<uint32_t> some_tokens(size_t count, uint32_t vocab_size) {
  std::vector<uint32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<uint32_t>(i * 7919 + i / 3) % vocab_size;
  return tokens;
}

TEST(TokenShard, WriteRead_BothWidths_SameTokens) {
  const TempDir dir;
  for (const uint32_t vocab_size : {300u, 65536u, 65537u}) {
    const std::vector<uint32_t> tokens = some_tokens(1001, vocab_size);
    const TokenShard shard(write_shard(dir / "s.bin", tokens, vocab_size, {1, 500, 500}));
    EXPECT_EQ(shard.token_width_bits(), vocab_size <= 65536 ? 16u : 32u);
    EXPECT_EQ(shard.token_count(), tokens.size());
    EXPECT_EQ(shard.vocab_size(), vocab_size);
    EXPECT_EQ(shard.eos_id(), 2u);
    std::vector<uint32_t> read(tokens.size());
    shard.read(read, 0);
    EXPECT_EQ(read, tokens);
    EXPECT_EQ(shard.token(777), tokens[777]);
    EXPECT_TRUE(std::isnan(shard.source_entropy_nats()));
  }
}

TEST(TokenShard, Documents_EveryToken_LiesInItsDocument) {
  const TempDir dir;
  const TokenShard shard(write_shard(dir / "s.bin", some_tokens(20, 50), 50, {3, 1, 16}));
  EXPECT_EQ(std::vector<uint64_t>(shard.document_starts().begin(), shard.document_starts().end()), (std::vector<uint64_t>{0, 3, 4}));
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(shard.document_of(i), i < 3 ? 0u : i < 4 ? 1u : 2u);
}

TEST(TokenShard, BytesOfRange_AnyRange_SumsTheTable) {
  const TempDir dir;
  const std::vector<uint32_t> tokens = some_tokens(100, 50);
  const TokenShard shard(write_shard(dir / "s.bin", tokens, 50));
  uint64_t expected = 0;
  for (size_t i = 13; i < 71; ++i) expected += tokens[i] % 3;
  EXPECT_EQ(shard.bytes_of_range(13, 71), expected);
  EXPECT_EQ(shard.bytes_of_range(0, 100), shard.text_bytes());
}

// The documented layout, read by hand.
TEST(TokenShard, Layout_IsWhatTheHeaderSays) {
  const TempDir dir;
  const std::string bytes = read_text_file(write_shard(dir / "s.bin", {5, 6, 7}, 9, {2, 1}));
  const auto number = [&](size_t offset, size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + offset, size);
    return value;
  };
  EXPECT_EQ(bytes.substr(0, 8), "LAPSHRD\n");
  EXPECT_EQ(number(8, 4), 1u);          // version
  EXPECT_EQ(number(12, 4), 16u);        // width
  EXPECT_EQ(number(16, 4), 9u);         // V
  EXPECT_EQ(number(20, 4), 2u);         // EOS
  EXPECT_EQ(number(24, 8), 3u);         // n
  EXPECT_EQ(number(32, 8), 2u);         // D
  EXPECT_EQ(number(40, 8), 3u);         // 5%3 + 6%3 + 7%3
  EXPECT_EQ(number(48, 8), 0xABCDEFu);  // tokenizer
  EXPECT_EQ(number(64, 8), bytes.size());
  EXPECT_EQ(number(128 + 2 * 8, 2), 2u);       // token_bytes[8]
  EXPECT_EQ(number(128 + 24 + 2, 2), 6u);      // 18 bytes of table, padded to 24; tokens[1]
  EXPECT_EQ(number(128 + 24 + 8 + 8, 8), 2u);  // 6 bytes of tokens, padded to 8; document_starts[1]
  EXPECT_EQ(bytes.size(), 128u + 24 + 8 + 16);
}

TEST(TokenShard, AnyFlippedByte_IsNoticed) {
  const TempDir dir;
  const fs::path path = write_shard(dir / "s.bin", some_tokens(40, 50), 50, {10, 30});
  const std::string good = read_text_file(path);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    dir.write("s.bin", bad);
    EXPECT_ERROR_MENTIONS(error_of([&] { TokenShard{path}; }), "s.bin", "data");
  }
}

TEST(TokenShard, CutShortAnywhere_IsNoticedWithoutReadingThePayload) {
  const TempDir dir;
  const fs::path path = write_shard(dir / "s.bin", some_tokens(40, 50), 50);
  const std::string good = read_text_file(path);
  for (size_t size = 0; size < good.size(); ++size) {
    dir.write("s.bin", good.substr(0, size));
    EXPECT_ERROR_MENTIONS(error_of([&] { TokenShard(path, TokenShard::Verify::kHeader); }), "s.bin");
  }
  dir.write("s.bin", good + "x");
  EXPECT_ERROR_MENTIONS(error_of([&] { TokenShard(path, TokenShard::Verify::kHeader); }), "s.bin", "has grown");
}

// The checksums are made right again: what is behind them must find the damage.
std::string resealed(std::string bytes, size_t at, uint64_t value, size_t width) {
  std::memcpy(bytes.data() + at, &value, width);
  const auto seal = [&](size_t where, std::string_view of) {
    const uint64_t hash = hash_bytes(std::as_bytes(std::span(of)));
    std::memcpy(bytes.data() + where, &hash, sizeof hash);
  };
  seal(72, std::string_view(bytes).substr(128));
  seal(80, std::string_view(bytes).substr(0, 80));
  return bytes;
}

TEST(TokenShard, ImpossibleNumbersUnderGoodChecksums_AreRefused) {
  const TempDir dir;
  const fs::path path = write_shard(dir / "s.bin", some_tokens(40, 50), 50, {10, 30});
  const std::string good = read_text_file(path);
  const auto error_with = [&](size_t at, uint64_t value, size_t width) {
    dir.write("s.bin", resealed(good, at, value, width));
    return error_of([&] { TokenShard{path}; });
  };
  const uint64_t documents = good.size() - 2 * sizeof(uint64_t);
  EXPECT_EQ(error_with(16, 50, 4), "");
  for (const uint64_t count : {(uint64_t{1} << 63) + 40, (uint64_t{1} << 62) + 40, uint64_t{41}, uint64_t{0}, ~uint64_t{0}})
    EXPECT_ERROR_MENTIONS(error_with(24, count, 8), "s.bin", "damaged");
  for (const uint64_t count : {(uint64_t{1} << 61) + 2, (uint64_t{1} << 63) + 2, uint64_t{0}, uint64_t{1}, uint64_t{3}})
    EXPECT_ERROR_MENTIONS(error_with(32, count, 8), "s.bin", "damaged");
  for (const uint64_t vocab : {uint64_t{0}, uint64_t{0xFFFFFFFF}, uint64_t{1000}})
    EXPECT_ERROR_MENTIONS(error_with(16, vocab, 4), "s.bin", "damaged");
  EXPECT_ERROR_MENTIONS(error_with(20, 50, 4), "s.bin", "end-of-text token is 50");
  EXPECT_ERROR_MENTIONS(error_with(documents, 1, 8), "s.bin", "documents do not start");       // the first
  EXPECT_ERROR_MENTIONS(error_with(documents + 8, 0, 8), "s.bin", "documents do not start");   // the second: not after the first
  EXPECT_ERROR_MENTIONS(error_with(documents + 8, 40, 8), "s.bin", "documents do not start");  // beyond the end
}

TEST(TokenShard, ChangedOrCutWhileOpen_IsAnError) {
  const TempDir dir;
  const std::vector<uint32_t> tokens = some_tokens(100000, 50);
  const fs::path path = write_shard(dir / "s.bin", tokens, 50);
  const TokenShard shard(path);
  std::vector<uint32_t> read(1000);
  shard.read(read, 99000);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(128 + 104 + 2 * 99500).write("\xFF\xFF", 2);
  EXPECT_ERROR_MENTIONS(error_of([&] { shard.read(read, 99000); }), "s.bin", "has changed", "65535");
  fs::resize_file(path, 5000);
  EXPECT_ERROR_MENTIONS(error_of([&] { shard.read(read, 90000); }), "s.bin", "cut short");
  EXPECT_ERROR_MENTIONS(error_of([&] { shard.bytes_of_range(0, 100000); }), "s.bin", "cut short");
}

TEST(TokenShard, OtherTokenizerOrVocabulary_IsAClearError) {
  const TempDir dir;
  const TokenShard shard(write_shard(dir / "s.bin", some_tokens(40, 50), 50));
  shard.require_tokenizer(0xABCDEF, "the checkpoint");
  shard.require_vocab_size(50, "the checkpoint");
  EXPECT_ERROR_MENTIONS(error_of([&] { shard.require_tokenizer(1, "the checkpoint"); }), "s.bin", "another tokenizer", "the checkpoint");
  EXPECT_ERROR_MENTIONS(error_of([&] { shard.require_vocab_size(51, "the checkpoint"); }), "50", "51", "the checkpoint");
}

TEST(TokenShardWriter, NotFinished_LeavesNothing) {
  const TempDir dir;
  {
    TokenShardWriter writer(dir / "s.bin", {.token_bytes = {1, 1, 1}, .eos_id = {}, .tokenizer_hash = 0});
    writer.begin_document();
    writer.append(std::vector<uint32_t>{0, 1, 2});
  }
  EXPECT_TRUE(dir.names().empty());
}

TEST(TokenShardWriterDeathTest, TokenOutsideVocabulary_FailsTheCheck) {
  const TempDir dir;
  EXPECT_DEATH(write_shard(dir / "s.bin", {50}, 50), "token id 50 of a vocabulary of 50");
}

}  // namespace
}  // namespace lapilli::testing
