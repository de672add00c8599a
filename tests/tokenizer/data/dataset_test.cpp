#include "tokenizer/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tests/tokenizer/byte_bpe.h"

namespace lapilli::testing {
namespace {

std::vector<uint32_t> tokens_of(const TokenShard& shard) {
  std::vector<uint32_t> tokens(shard.token_count());
  shard.read(tokens, 0);
  return tokens;
}

TEST(BuildDataset, SingleText_SplitsByPositionWithoutSeparators) {
  const TempDir dir;
  const std::string text = small_text(20);
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kUnigram, 400, text);
  const fs::path input = dir.write("in.txt", text);
  const DatasetSummary summary = build_dataset(tokenizer.path(), {&input, 1}, dir / "data", 0.25);

  const std::vector<uint32_t> all = tokenizer.encode(text);
  const auto train_tokens = static_cast<size_t>(0.75 * static_cast<double>(all.size()));
  const TokenShard train(dir / "data" / kTrainShardName), val(dir / "data" / kValShardName);
  EXPECT_EQ(tokens_of(train), std::vector<uint32_t>(all.begin(), all.begin() + static_cast<ptrdiff_t>(train_tokens)));
  EXPECT_EQ(tokens_of(val), std::vector<uint32_t>(all.begin() + static_cast<ptrdiff_t>(train_tokens), all.end()));
  EXPECT_EQ(train.text_bytes() + val.text_bytes(), text.size());
  EXPECT_EQ(train.document_starts().size(), 1u);
  EXPECT_EQ(val.document_starts().size(), 1u);
  EXPECT_EQ(summary.val.tokens, val.token_count());
  EXPECT_TRUE(std::isnan(val.source_entropy_nats()));
  train.require_tokenizer(tokenizer.hash(), "this test");
  EXPECT_EQ(read_text_file(tokenizer_in(dir / "data")), read_text_file(tokenizer.path()));
}

// A folder has one tokenizer, also where files of others stand beside it.
TEST(BuildDataset, TokenizerOfAnotherKind_ReplacesTheOne) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", "the man, there\n<|endoftext|>\nthe end of the text\n");
  const Tokenizer bytes = make_tokenizer(dir, TokenizerType::kByte, 0, "x"), byte_bpe = make_byte_bpe(dir, "smollm");
  fs::create_directories(dir / "data");
  dir.write("data/notes.txt", "mine");
  for (const Tokenizer* tokenizer : {&bytes, &byte_bpe, &bytes}) {
    build_dataset(tokenizer->path(), {&input, 1}, dir / "data", 0.5);
    EXPECT_EQ(Tokenizer(tokenizer_in(dir / "data")).hash(), tokenizer->hash());
    EXPECT_NE(fs::exists(dir / "data/tokenizer.model"), fs::exists(dir / "data/tokenizer.json"));
    EXPECT_EQ(read_text_file(dir / "data/notes.txt"), "mine");
    const TokenShard train(dir / "data" / kTrainShardName);
    EXPECT_EQ(tokenizer->decode(tokens_of(train)), "the man, there\n");
    EXPECT_EQ(train.token(train.token_count() - 1), *tokenizer->eos_id());
  }
}

TEST(BuildDataset, SeveralDocuments_EachEndsWithEosAndStaysWhole) {
  const TempDir dir;
  const fs::path a = dir.write("a.txt", "aaaa\n<|endoftext|>\nbb\n<|endoftext|>\n"), b = dir.write("b.txt", "cccccc");
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  const std::vector<fs::path> inputs = {a, b};
  build_dataset(tokenizer.path(), inputs, dir / "data", 0.4);
  const TokenShard train(dir / "data" / kTrainShardName), val(dir / "data" / kValShardName);
  // 6 + 4 + 7 tokens with EOS; floor(0.6 * 17) = 10, and the third document begins there.
  EXPECT_EQ(tokenizer.decode(tokens_of(train)), "aaaa\nbb\n");
  EXPECT_EQ(tokenizer.decode(tokens_of(val)), "cccccc");
  EXPECT_EQ(train.token_count(), 10u);
  EXPECT_EQ(train.token(5), 2u);
  EXPECT_EQ(train.token(9), 2u);
  EXPECT_EQ(val.token(6), 2u);
  EXPECT_EQ(train.document_starts()[1], 6u);
  EXPECT_EQ(train.text_bytes() + val.text_bytes(), 8u + 6u);
}

TEST(BuildDataset, ManyDocuments_SplitAtTheBoundaryNearestToTheFraction) {
  const TempDir dir;
  const fs::path input = dir / "synth.txt";
  write_synth_corpus(input, 60000, 3);
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  for (const double fraction : {0.1, 0.5, 0.9}) {
    const DatasetSummary summary = build_dataset(tokenizer.path(), {&input, 1}, dir / "data", fraction);
    EXPECT_EQ(summary.split, SplitKind::between_documents);
    const TokenShard val(dir / "data" / kValShardName), train(dir / "data" / kTrainShardName);
    const auto wanted = static_cast<uint64_t>((1 - fraction) * static_cast<double>(train.token_count() + val.token_count()));
    const uint64_t last_of_train = train.document_starts().back(), after_first_of_val = train.token_count() + val.document_starts()[1];
    const auto distance = [&](uint64_t boundary) { return std::max(boundary, wanted) - std::min(boundary, wanted); };
    EXPECT_LE(distance(train.token_count()), distance(last_of_train));
    EXPECT_LE(distance(train.token_count()), distance(after_first_of_val));
    EXPECT_EQ(train.token(train.token_count() - 1), 2u);
    EXPECT_EQ(train.document_starts().size(), summary.train.documents);
  }
}

TEST(BuildDataset, NoDocumentEndsNearTheFraction_CutsInsideOneAtTheWantedToken) {
  const TempDir dir;
  const fs::path short_text = dir.write("a.txt", "a short note\n"), book = dir.write("b.txt", std::string(9986, 'b'));
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");  // one token a byte, and one EOS each: 14 + 9987
  for (const bool short_first : {true, false}) {
    const std::vector<fs::path> inputs = short_first ? std::vector{short_text, book} : std::vector{book, short_text};
    const DatasetSummary summary = build_dataset(tokenizer.path(), inputs, dir / "data", 0.1);
    EXPECT_EQ(summary.split, SplitKind::inside_a_document);
    EXPECT_EQ(summary.train.tokens, 9000u);
    EXPECT_EQ(summary.val.tokens, 1001u);
    EXPECT_EQ(summary.train.documents, short_first ? 2u : 1u);
    EXPECT_EQ(summary.val.documents, short_first ? 1u : 2u);
    const TokenShard val(dir / "data" / kValShardName), train(dir / "data" / kTrainShardName);
    EXPECT_EQ(tokenizer.decode(tokens_of(train)) + tokenizer.decode(tokens_of(val)),
              short_first ? "a short note\n" + std::string(9986, 'b') : std::string(9986, 'b') + "a short note\n");
    EXPECT_EQ(val.document_starts()[0], 0u);
    EXPECT_EQ(nlohmann::json::parse(read_text_file(dir / "data" / kDatasetJsonName))["split"], "inside a document");
  }
}

TEST(BuildDataset, Boundary_IsTakenIfEachPartIsBetweenHalfAndTwiceTheWanted) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  const auto build = [&](size_t first_tokens, double fraction) {  // of 1000 tokens in two documents
    const std::vector<fs::path> inputs = {dir.write("a.txt", std::string(first_tokens - 1, 'a')),
                                          dir.write("b.txt", std::string(999 - first_tokens, 'b'))};
    const DatasetSummary summary = build_dataset(tokenizer.path(), inputs, dir / "data", fraction);
    EXPECT_EQ(summary.split == SplitKind::between_documents, summary.train.tokens == first_tokens);
    return summary.train.tokens;
  };
  EXPECT_EQ(build(600, 0.2), 600u);
  EXPECT_EQ(build(599, 0.2), 800u);
  EXPECT_EQ(build(900, 0.2), 900u);
  EXPECT_EQ(build(901, 0.2), 800u);
  EXPECT_EQ(build(125, 0.75), 125u);
  EXPECT_EQ(build(124, 0.75), 250u);
  EXPECT_EQ(build(500, 0.75), 500u);
  EXPECT_EQ(build(501, 0.75), 250u);
}

TEST(BuildDataset, NearestBoundaryLeavesTooLittle_TheNextIsTaken) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  // 1000 tokens, 900 wanted for training: the boundary at 955 is nearer than that at 835, but leaves 45 of 100.
  const std::vector<fs::path> inputs = {dir.write("a.txt", std::string(834, 'a')), dir.write("b.txt", std::string(119, 'b')),
                                        dir.write("c.txt", std::string(44, 'c'))};
  EXPECT_EQ(build_dataset(tokenizer.path(), inputs, dir / "data", 0.1).train.tokens, 835u);
}

TEST(BuildDataset, FilesForValidation_AreAllOfIt) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  const std::vector<fs::path> one = {dir.write("a.txt", "aaaa")}, two = {one[0], dir.write("b.txt", "bb")}, val = {dir.write("v.txt", "vvv")};
  const auto build = [&](const std::vector<fs::path>& train) { return build_dataset(tokenizer.path(), train, dir / "data", 0.1, val); };
  const DatasetSummary singles = build(one);
  EXPECT_EQ(singles.split, SplitKind::own_files);
  EXPECT_EQ(tokenizer.decode(tokens_of(TokenShard(dir / "data" / kTrainShardName))), "aaaa");
  EXPECT_EQ(tokenizer.decode(tokens_of(TokenShard(dir / "data" / kValShardName))), "vvv");
  EXPECT_EQ(singles.val.tokens, 3u) << "a single text has no EOS";
  const DatasetSummary several = build(two);
  EXPECT_EQ(several.train.tokens, 5u + 3u);
  EXPECT_EQ(several.val.tokens, 4u) << "in training each document ends with EOS";
  const auto json = nlohmann::json::parse(read_text_file(dir / "data" / kDatasetJsonName));
  EXPECT_EQ(json["split"], "own files");
  EXPECT_EQ(json["val_inputs"], nlohmann::json::array({"v.txt"}));
  EXPECT_FALSE(json.contains("val_fraction"));
  EXPECT_ERROR_MENTIONS(error_of([&] { build({one[0], val[0]}); }), "v.txt", "for training and for validation");
}

TEST(BuildDataset, SyntheticFilesForValidation_BothPartsHaveTheirEntropy) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  const fs::path train = dir / "t.txt", val = dir / "v.txt";
  const SynthSummary of_train = write_synth_corpus(train, 20000, 3), of_val = write_synth_corpus(val, 5000, 4);
  const DatasetSummary summary = build_dataset(tokenizer.path(), {&train, 1}, dir / "data", 0.1, {&val, 1});
  EXPECT_NEAR(summary.train.source_entropy_nats, of_train.nats, 1e-8 * of_train.nats);
  EXPECT_NEAR(summary.val.source_entropy_nats, of_val.nats, 1e-8 * of_val.nats);
  // A document in two parts: the entropy of a part is not known.
  const DatasetSummary cut = build_dataset(tokenizer.path(), {&val, 1}, dir / "data", 0.005);
  ASSERT_EQ(cut.split, SplitKind::inside_a_document);
  EXPECT_TRUE(std::isnan(cut.train.source_entropy_nats) && std::isnan(cut.val.source_entropy_nats));
}

TEST(BuildDataset, SyntheticCorpus_SplitsCarryTheirExactSourceEntropy) {
  const TempDir dir;
  const fs::path input = dir / "synth.txt";
  const SynthSummary corpus = write_synth_corpus(input, 40000, 9);
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kUnigram, 420, small_text());
  const DatasetSummary summary = build_dataset(tokenizer.path(), {&input, 1}, dir / "data", 0.2);
  EXPECT_EQ(summary.train.documents + summary.val.documents, corpus.stories);
  double train_nats = 0;
  for (uint64_t i = 0; i < summary.train.documents; ++i) train_nats += synth_story(9, i).nats;
  const TokenShard train(dir / "data" / kTrainShardName), val(dir / "data" / kValShardName);
  EXPECT_NEAR(train.source_entropy_nats(), train_nats, 1e-8 * train_nats);
  EXPECT_NEAR(train.source_entropy_nats() + val.source_entropy_nats(), corpus.nats, 1e-8 * corpus.nats);
  const auto json = nlohmann::json::parse(read_text_file(dir / "data" / kDatasetJsonName));
  EXPECT_EQ(json["val"]["tokens"], val.token_count());
  EXPECT_NEAR(json["val"]["source_entropy_nats_per_token"].get<double>(), val.source_entropy_nats() / static_cast<double>(val.token_count()), 1e-9);
}

TEST(BuildDataset, SideFileOfAnotherCorpus_IsAnError) {
  const TempDir dir;
  const fs::path input = dir / "synth.txt";
  write_synth_corpus(input, 5000, 9);
  dir.write("synth.txt", read_text_file(input) + "more\n");
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  EXPECT_ERROR_MENTIONS(error_of([&] { build_dataset(tokenizer.path(), {&input, 1}, dir / "data", 0.2); }), "synth.txt.json", "does not belong");
}

TEST(BuildDataset, Failure_LeavesTheFolderAsItWas) {
  const TempDir dir;
  const fs::path good = dir.write("good.txt", "some text to split\n"), tiny = dir.write("tiny.txt", "abc");
  const fs::path bad = dir.write("bad.txt", "some text\xFF");
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "x");
  const auto build = [&](const fs::path& input, double fraction) {
    return error_of([&] { build_dataset(tokenizer.path(), {&input, 1}, dir / "data", fraction); });
  };
  const fs::path only = dir.write("only.txt", "<|endoftext|>\n<|endoftext|>\n");
  EXPECT_ERROR_MENTIONS(build(only, 0.1), "only.txt' holds no text");
  EXPECT_ERROR_MENTIONS(build(tiny, 0.1), "tiny.txt", "too short to split", "3 tokens");
  EXPECT_ERROR_MENTIONS(error_of([&] { build_dataset(tokenizer.path(), {&good, 1}, dir / "data", 0.1, {&only, 1}); }), "only.txt' holds no text");
  EXPECT_ERROR_MENTIONS(build(bad, 0.1), "bad.txt", "offset 9");
  EXPECT_ERROR_MENTIONS(build(dir / "missing.txt", 0.1), "missing.txt");
  for (const double fraction : {0.0, 1.0, -1.0, std::nan("")}) EXPECT_ERROR_MENTIONS(build(good, fraction), "between 0 and 1");
  EXPECT_FALSE(fs::exists(dir / "data")) << "a failed build left its folder";

  ASSERT_EQ(build(good, 0.5), "");
  const std::string before = read_text_file(dir / "data" / kTrainShardName);
  EXPECT_ERROR_MENTIONS(build(bad, 0.5), "bad.txt");
  EXPECT_EQ(read_text_file(dir / "data" / kTrainShardName), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir / "data"), fs::directory_iterator()), 4) << "staging was left";
}

TEST(BuildDataset, SameInput_SameBytes) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(10));
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kBpe, 400, small_text(10));
  build_dataset(tokenizer.path(), {&input, 1}, dir / "one");
  build_dataset(tokenizer.path(), {&input, 1}, dir / "two");
  for (const char* name : {kTrainShardName, kValShardName, kDatasetJsonName}) {
    EXPECT_EQ(read_text_file(dir / "one" / name), read_text_file(dir / "two" / name)) << name;
  }
}

TEST(BuildDataset, TinyShakespeareInCharacters_HasTheTokenCountsEveryoneKnows) {
  const std::optional<fs::path> shared = shared_dir();
  if (!shared || !fs::exists(*shared / "data" / "tinyshakespeare.txt")) GTEST_SKIP() << "no shared/data/tinyshakespeare.txt";
  const fs::path input = *shared / "data" / "tinyshakespeare.txt";
  const TempDir dir;
  train_tokenizer({.type = TokenizerType::kChar}, {&input, 1}, dir / "char.model");
  const DatasetSummary summary = build_dataset(dir / "char.model", {&input, 1}, dir / "data", 0.1);
  EXPECT_EQ(summary.train.tokens, 1003854u);
  EXPECT_EQ(summary.val.tokens, 111540u);
  EXPECT_EQ(summary.vocab_size, 259u + 65u);
}

}  // namespace
}  // namespace lapilli::testing
