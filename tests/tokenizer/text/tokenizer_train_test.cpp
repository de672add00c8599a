#include <algorithm>
#include <map>

#include "tests/tokenizer/support.h"
#include "tokenizer/text/model_proto.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli::testing {
namespace {

void train(TokenizerType type, uint32_t vocab_size, const std::vector<fs::path>& inputs, const fs::path& output,
           uint64_t sample_bytes = TokenizerSpec{}.sample_bytes) {
  train_tokenizer({.type = type, .vocab_size = vocab_size, .sample_bytes = sample_bytes}, inputs, output);
}

TEST(TokenizerTrain, UnigramAndBpe_VocabSize_IsExact) {
  const TempDir dir;
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe}) {
    for (const uint32_t vocab_size : {330u, 512u, 701u}) {
      EXPECT_EQ(make_tokenizer(dir, type, vocab_size, small_text(200)).vocab_size(), vocab_size);
    }
  }
}

TEST(TokenizerTrain, Byte_AnyText_Has259Entries) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kByte, 0, "abc");
  EXPECT_EQ(tokenizer.vocab_size(), 259u);
  EXPECT_EQ(tokenizer.encode("A \n"), (std::vector<uint32_t>{3 + 'A', 3 + ' ', 3 + '\n'}));
}

TEST(TokenizerTrain, Char_EveryCharacterSeen_IsOneToken) {
  const TempDir dir;
  const std::string text = "na\xC3\xAFve caf\xC3\xA9\n\tx  y\r\n";
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kChar, 0, text);
  const std::string distinct = "nave cf\n\txy\r";  // and the two accented letters
  EXPECT_EQ(tokenizer.vocab_size(), 259 + distinct.size() + 2);
  const std::vector<uint32_t> ids = tokenizer.encode(text);
  EXPECT_EQ(ids.size(), text.size() - 2);  // two characters of two bytes each
  EXPECT_TRUE(std::ranges::all_of(ids, [](uint32_t id) { return id >= 259; }));
}

TEST(TokenizerTrain, Char_SpaceSymbolInTheText_StaysApartFromTheSpace) {
  const TempDir dir;
  const std::string text = "a b\xE2\x96\x81 c\n";
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kChar, 0, text);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

// A reader without byte fallback, as llama.cpp's for unigram models, must not lose the ends of lines.
TEST(TokenizerTrain, Unigram_NewlineAndTab_HavePiecesOfTheirOwn) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kUnigram, 400, small_text());
  EXPECT_EQ(tokenizer.vocab_size(), 400u);
  EXPECT_EQ(tokenizer.encode("\n\t\t\n"), (std::vector<uint32_t>{398, 399, 399, 398}));
  EXPECT_EQ(tokenizer.decode(std::vector<uint32_t>{398, 399}), "\n\t");
  const std::vector<uint32_t> line = tokenizer.encode("\tthe end\n");
  EXPECT_EQ(line.front(), 399u);
  EXPECT_EQ(line.back(), 398u);
}

// Other programs that read the model file must see its lossless settings, and the same ids.
TEST(TokenizerTrain, ModelFile_SaysThatSpacesAreKept) {
  const TempDir dir;
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte}) {
    const Tokenizer tokenizer = make_tokenizer(dir, type, 400, small_text());
    const ModelProto model = parse_model(read_text_file(tokenizer.path()));
    EXPECT_FALSE(model.add_dummy_prefix);
    EXPECT_FALSE(model.remove_extra_whitespaces);
    EXPECT_EQ(model.pieces.size(), tokenizer.vocab_size());
    EXPECT_EQ(model.pieces[13].piece, "<0x0A>");
    EXPECT_EQ(model.pieces[13].kind, PieceKind::kByte);
  }
}

TEST(TokenizerTrain, Char_UpperBound_KeepsTheMostFrequent) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kChar, 261, "aaaabbbccd");
  EXPECT_EQ(tokenizer.vocab_size(), 261u);
  EXPECT_EQ(tokenizer.piece(259), "a");
  EXPECT_EQ(tokenizer.piece(260), "b");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("abcd")), "abcd");
}

TEST(TokenizerTrain, SameInput_SameModelBytes) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(150));
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte}) {
    train(type, 450, {input}, dir / "one.model");
    train(type, 450, {input}, dir / "two.model");
    EXPECT_EQ(read_text_file(dir / "one.model"), read_text_file(dir / "two.model")) << tokenizer_type_name(type);
  }
}

TEST(TokenizerTrain, CorpusAboveSampleSize_IsSampledRepeatably) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(400));
  train(TokenizerType::kBpe, 400, {input}, dir / "all.model");
  train(TokenizerType::kBpe, 400, {input}, dir / "one.model", 40000);
  train(TokenizerType::kBpe, 400, {input}, dir / "two.model", 40000);
  EXPECT_EQ(read_text_file(dir / "one.model"), read_text_file(dir / "two.model"));
  EXPECT_NE(read_text_file(dir / "one.model"), read_text_file(dir / "all.model"));
}

TEST(TokenizerTrain, LinesLongerThanSentencePiecesLimit_AreStillUsed) {
  const TempDir dir;
  std::string text = small_text(60);
  std::ranges::replace(text, '\n', ' ');
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kUnigram, 600, text);
  EXPECT_LT(tokenizer.encode(text).size(), text.size() / 2);
}

TEST(TokenizerTrain, SeparatorLines_AreNotText) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "one two three\n<|endoftext|>\n";
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kChar, 0, text);
  EXPECT_EQ(tokenizer.encode("|").front(), 3u + '|') << "'|' was learnt from a separator";
}

TEST(TokenizerTrain, VocabTooLarge_NamesTheLargestThatWorks) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(5));
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe}) {
    const std::string message = error_of([&] { train(type, 50000, {input}, dir / "t.model"); });
    EXPECT_ERROR_MENTIONS(message, "in.txt", "50000", "at most --vocab-size ");
    const uint32_t most = static_cast<uint32_t>(std::stoul(message.substr(message.rfind(' '))));
    EXPECT_FALSE(fs::exists(dir / "t.model"));
    train(type, most, {input}, dir / "t.model");
    EXPECT_EQ(Tokenizer(dir / "t.model").vocab_size(), most);
    fs::remove(dir / "t.model");
  }
}

TEST(TokenizerTrain, VocabTooSmall_SaysHowMany) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(5));
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar}) {
    EXPECT_ERROR_MENTIONS(error_of([&] { train(type, 100, {input}, dir / "t.model"); }), "--vocab-size 100", "256");
  }
  const std::string message = error_of([&] { train(TokenizerType::kUnigram, 265, {input}, dir / "t.model"); });
  EXPECT_ERROR_MENTIONS(message, "in.txt", "--vocab-size must be at least ");
  const uint32_t least = static_cast<uint32_t>(std::stoul(message.substr(message.rfind(' '))));
  train(TokenizerType::kUnigram, least, {input}, dir / "t.model");
  EXPECT_EQ(Tokenizer(dir / "t.model").vocab_size(), least);
}

TEST(TokenizerTrain, UnusableInput_NamesFileAndReasonAndWritesNothing) {
  const TempDir dir;
  const fs::path good = dir.write("good.txt", small_text(5));
  const std::map<fs::path, std::vector<std::string>> cases = {
      {dir / "missing.txt", {"missing.txt", "No such file"}},
      {dir.path(), {dir.path().string(), "folder"}},
      {dir.write("empty.txt", ""), {"empty.txt", "is empty"}},
      {dir.write("nul.txt", std::string_view("abc\0def", 7)), {"nul.txt", "binary", "offset 3"}},
      {dir.write("latin1.txt", "caf\xE9 au lait"), {"latin1.txt", "UTF-8", "0xE9", "offset 3", "iconv"}},
      {dir.write("cut.txt", "abc\xE2\x82"), {"cut.txt", "UTF-8", "offset 3"}},
  };
  const std::vector<std::string> before = dir.names();
  for (const auto& [path, parts] : cases) {
    for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte}) {
      const std::string message = error_of([&, bad = path] { train(type, 300, {good, bad}, dir / "t.model"); });
      for (const std::string& part : parts) EXPECT_ERROR_MENTIONS(message, part);
      EXPECT_EQ(dir.names(), before);
    }
  }
}

TEST(TokenizerTrain, TextWithoutWords_IsAnErrorNotAnAbort) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", "\n");
  for (const std::string_view text : {"\n\n\n", "\t\n\t\t\n", "\xE2\x96\x85\n", "<|endoftext|>\n"}) {
    dir.write("in.txt", text);
    for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe}) {
      EXPECT_ERROR_MENTIONS(error_of([&] { train(type, 300, {input}, dir / "t.model"); }), "in.txt");
    }
  }
}

TEST(TokenizerTrain, FailureOverAnOlderModel_LeavesItWhole) {
  const TempDir dir;
  const fs::path input = dir.write("in.txt", small_text(20));
  train(TokenizerType::kBpe, 330, {input}, dir / "t.model");
  const std::string before = read_text_file(dir / "t.model");
  EXPECT_FALSE(error_of([&] { train(TokenizerType::kBpe, 60000, {input}, dir / "t.model"); }).empty());
  EXPECT_EQ(read_text_file(dir / "t.model"), before);
}

TEST(TokenizerType, Parse_UnknownName_ListsTheFour) {
  EXPECT_EQ(parse_tokenizer_type("char"), TokenizerType::kChar);
  EXPECT_ERROR_MENTIONS(error_of([] { parse_tokenizer_type("wordpiece"); }), "wordpiece", "unigram", "bpe", "char", "byte");
}

}  // namespace
}  // namespace lapilli::testing
