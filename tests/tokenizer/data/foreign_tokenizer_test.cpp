// SentencePiece models made elsewhere: what they lose of a text is counted, and the bytes of the text stay its own.

#include "tokenizer/text/text_loss.h"

#include <nlohmann/json.hpp>

#include "tests/tokenizer/support.h"
#include "tokenizer/data/corpus_encoder.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/text/model_proto.h"

namespace lapilli::testing {
namespace {

// A unigram model of letters and a few words as pieces, without byte fallback: anything else is <unk>.
Tokenizer foreign_tokenizer(const TempDir& dir, const std::vector<std::string>& pieces) {
  ModelProto model;
  model.pieces = {{"<unk>", 0, PieceKind::kUnknown}, {"<s>", 0, PieceKind::kControl}, {"</s>", 0, PieceKind::kControl}};
  for (const std::string& piece : pieces) model.pieces.push_back({piece, -1});
  std::string bytes = serialize_model(model);
  bytes += std::string("\x12\x03\x98\x02\x00", 5);  // TrainerSpec: byte_fallback = false
  return Tokenizer(dir.write("foreign.model", bytes));
}

std::vector<std::string> letters() {
  std::vector<std::string> pieces = {"\xE2\x96\x81"};
  for (char letter = 'a'; letter <= 'z'; ++letter) pieces.emplace_back(1, letter);
  return pieces;
}

uint64_t lost_in(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<uint32_t> ids;
  uint64_t lost = 0;
  EXPECT_EQ(tokenizer.encode_prefix(ids, text, true, &lost), text.size());
  return lost;
}

TEST(LostBytes, KnownPairs_CountTheCharactersThatDoNotComeBack) {
  EXPECT_EQ(lost_bytes("", ""), 0U);
  EXPECT_EQ(lost_bytes("same", "same"), 0U);
  EXPECT_EQ(lost_bytes("abc", ""), 3U);
  EXPECT_EQ(lost_bytes("", "made up"), 0U);
  EXPECT_EQ(lost_bytes("The", "the"), 1U);
  EXPECT_EQ(lost_bytes("a\xF0\x9F\x8C\xB1z\n", "az"), 5U);
  EXPECT_EQ(lost_bytes("\xC3\xA9", "\xC3\xA8"), 2U) << "a character is lost whole, though its first byte is the same";
  EXPECT_EQ(lost_bytes("\xEF\xAC\x81n", "fin"), 3U);   // the ligature fi, as NFKC writes it
  EXPECT_EQ(lost_bytes("a b c d", "d c b a"), 4U);      // " b " and a letter, or the like
  EXPECT_EQ(lost_bytes("x\xFFy", "xy"), 1U);
}

TEST(LostBytes, RandomTexts_AgreeWithExhaustiveSearch) {
  // The definition: over all subsequences of `text`, the longest that is a subsequence of `decoded`.
  const auto is_subsequence = [](std::string_view part, std::string_view of) {
    size_t at = 0;
    for (const char c : of) at += at < part.size() && part[at] == c ? 1 : 0;
    return at == part.size();
  };
  uint32_t state = 1;
  const auto random_text = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text.push_back("abc"[((state = state * 1664525 + 1013904223) >> 24) % 3]);
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_text(static_cast<size_t>(round % 9)), decoded = random_text(static_cast<size_t>(round % 7));
    size_t best = 0;
    for (uint32_t mask = 0; mask < 1U << text.size(); ++mask) {
      std::string part;
      for (size_t i = 0; i < text.size(); ++i)
        if (mask >> i & 1) part.push_back(text[i]);
      if (is_subsequence(part, decoded)) best = std::max(best, part.size());
    }
    EXPECT_EQ(lost_bytes(text, decoded), text.size() - best) << text << " " << decoded;
  }
}

TEST(ForeignTokenizer, EncodePrefix_CountsWhatIsUnknown) {
  const TempDir dir;
  const Tokenizer tokenizer = foreign_tokenizer(dir, letters());
  EXPECT_EQ(lost_in(tokenizer, "all of this comes back"), 0U);
  EXPECT_EQ(lost_in(tokenizer, "one line\nand\tanother\n"), 3U);
  EXPECT_EQ(lost_in(tokenizer, "Upper \xF0\x9F\x8C\xB1 caf\xC3\xA9"), 1U + 4U + 2U);
  EXPECT_EQ(lost_in(tokenizer, "Upper Upper Upper"), 3U) << "words from the cache count too";
  // With a piece that spans words, a whole line is encoded at once.
  std::vector<std::string> pieces = letters();
  pieces.emplace_back(
      "a\xE2\x96\x81"
      "b");
  EXPECT_EQ(lost_in(foreign_tokenizer(dir, pieces), "Upper a b \xF0\x9F\x8C\xB1 caf\xC3\xA9 Z\n"), 1U + 4U + 2U + 1U + 1U);
}

TEST(ForeignTokenizer, Lossless_LosesNothing) {
  const TempDir dir;
  EXPECT_EQ(lost_in(make_tokenizer(dir, TokenizerType::kUnigram, 400, small_text()), "Upper \xF0\x9F\x8C\xB1 caf\xC3\xA9\n\xE2\x96\x81"), 0U);
}

TEST(ForeignTokenizer, Shard_HasTheBytesOfTheTextItself) {
  const TempDir dir;
  const Tokenizer tokenizer = foreign_tokenizer(dir, letters());
  const std::string text = "ONE two\nthree \xF0\x9F\x8C\xB1\n";  // loses 3, 1, 4 and 1
  const std::vector<fs::path> inputs = {dir.write("a.txt", text), dir.write("b.txt", "lossless"), dir.write("c.txt", "\n")};
  TokenShardWriter writer(dir / "s.bin", shard_options(tokenizer));
  const EncodedCorpus encoded = encode_corpus(writer, tokenizer, inputs);
  writer.finish();
  const TokenShard shard(dir / "s.bin");
  const uint64_t n = shard.token_count();
  EXPECT_EQ(shard.text_bytes(), text.size() + 8 + 1);
  EXPECT_EQ(encoded.text_bytes(0, n).lost, 10U);
  EXPECT_EQ(encoded.text_bytes(0, n).beyond_tokens, 10);
  EXPECT_EQ(shard.bytes_of_range(0, n), shard.text_bytes() - 10);
  EXPECT_DOUBLE_EQ(shard.text_bytes_of(shard.bytes_of_range(0, n), n), static_cast<double>(shard.text_bytes()));
  EXPECT_DOUBLE_EQ(TokenShard(dir / "s.bin", TokenShard::Verify::kHeader).text_bytes_of(shard.bytes_of_range(0, n), n),
                   static_cast<double>(shard.text_bytes()));
  // The second text loses nothing, and the parts add up wherever they are cut.
  const std::span<const uint64_t> starts = shard.document_starts();
  EXPECT_EQ(encoded.text_bytes(starts[1], starts[2]).lost, 0U);
  EXPECT_EQ(encoded.text_bytes(starts[2], n).lost, 1U);
  for (uint64_t cut = 0; cut <= n; ++cut) {
    EXPECT_EQ(encoded.text_bytes(0, cut).lost + encoded.text_bytes(cut, n).lost, 10U) << cut;
    EXPECT_EQ(encoded.text_bytes(0, cut).beyond_tokens + encoded.text_bytes(cut, n).beyond_tokens, 10) << cut;
  }
}

TEST(ForeignTokenizer, NothingComesBack_TokensShareTheBytesEvenly) {
  const TempDir dir;
  const Tokenizer tokenizer = foreign_tokenizer(dir, letters());
  const fs::path input = dir.write("a.txt", "\n\n\n\n");
  TokenShardWriter writer(dir / "s.bin", shard_options(tokenizer));
  EXPECT_EQ(encode_corpus(writer, tokenizer, {&input, 1}).text_bytes(0, writer.token_count()).lost, 4U);
  writer.finish();
  const TokenShard shard(dir / "s.bin");
  EXPECT_EQ(shard.text_bytes(), 4U);
  EXPECT_DOUBLE_EQ(shard.text_bytes_of(0, shard.token_count()), 4.0);
}

TEST(ForeignTokenizer, BuildDataset_BothPartsSayWhatIsLost) {
  const TempDir dir;
  const Tokenizer tokenizer = foreign_tokenizer(dir, letters());
  std::string text;
  for (int i = 0; i < 100; ++i) text += "a line of text\n";
  const fs::path input = dir.write("in.txt", text), val = dir.write("val.txt", "one\ntwo\n");
  const DatasetSummary cut = build_dataset(tokenizer.path(), {&input, 1}, dir / "data", 0.25);
  EXPECT_EQ(cut.train.lost_bytes + cut.val.lost_bytes, 100U);
  EXPECT_EQ(cut.train.text_bytes + cut.val.text_bytes, text.size());
  EXPECT_NEAR(static_cast<double>(cut.val.lost_bytes), 25, 1);
  EXPECT_EQ(TokenShard(dir / "data" / kValShardName).text_bytes(), cut.val.text_bytes);
  const DatasetSummary files = build_dataset(tokenizer.path(), {&input, 1}, dir / "data", 0.1, {&val, 1});
  EXPECT_EQ(files.val.lost_bytes, 2U);
  EXPECT_EQ(files.val.text_bytes, 8U);
  EXPECT_EQ(nlohmann::json::parse(read_text_file(dir / "data" / kDatasetJsonName))["train"]["lost_bytes"], 100);
}

}  // namespace
}  // namespace lapilli::testing
