#include "tokenizer/text/corpus.h"

#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

std::vector<std::string> read_documents(const std::vector<fs::path>& inputs, size_t block_bytes) {
  std::vector<std::string> documents;
  CorpusReader reader(inputs, block_bytes);
  for (CorpusReader::Piece piece; reader.next(piece);) {
    EXPECT_FALSE(piece.text.empty());
    EXPECT_EQ(find_invalid_utf8(piece.text), std::string_view::npos) << "a piece cuts a character";
    if (piece.starts_document) documents.emplace_back();
    documents.back() += piece.text;
  }
  EXPECT_EQ(reader.document_count(), documents.size());
  return documents;
}

using Documents = std::vector<std::string>;

TEST(CorpusReader, Separators_AnyBlockSize_SameDocuments) {
  const TempDir dir;
  const std::string text =
      "first story\nsecond line\n<|endoftext|>\n"
      "\n<|endoftext|>\n<|endoftext|>\n"  // an empty line is text, no line at all is not
      "a <|endoftext|> inside a line\n<|endoftext|> and after\n <|endoftext|>\n<|endoftex\n"
      "<|endoftext|>\nlast, without a newline \xF0\x9F\x8C\xB1 \xE6\xBC\xA2\n<|endoftext|>";
  const fs::path input = dir.write("in.txt", text);
  const Documents expected = {"first story\nsecond line\n", "\n",
                              "a <|endoftext|> inside a line\n<|endoftext|> and after\n <|endoftext|>\n<|endoftex\n",
                              "last, without a newline \xF0\x9F\x8C\xB1 \xE6\xBC\xA2\n"};
  for (size_t block_bytes = 64; block_bytes < 330; ++block_bytes) {
    EXPECT_EQ(read_documents({input}, block_bytes), expected) << "blocks of " << block_bytes;
  }
}

TEST(CorpusReader, SeveralFiles_EachBeginsADocument) {
  const TempDir dir;
  const std::vector<fs::path> inputs = {dir.write("a.txt", "no newline at the end"), dir.write("b.txt", "<|endoftext|>\n"),
                                        dir.write("c.txt", "<|endoftext|>\nc\n")};
  EXPECT_EQ(read_documents(inputs, 1 << 20), (Documents{"no newline at the end", "c\n"}));
}

TEST(CorpusReader, UnfinishedSeparatorAtTheEnd_IsText) {
  const TempDir dir;
  EXPECT_EQ(read_documents({dir.write("a.txt", "x\n<|endofte")}, 64), (Documents{"x\n<|endofte"}));
}

TEST(CorpusReader, LargeFile_PiecesConcatenateToTheFile) {
  const TempDir dir;
  std::string text;
  while (text.size() < 300000) text += "\xE6\xBC\xA2\xC3\xA9 \xF0\x9F\x8C\xB1 abc";
  const fs::path input = dir.write("in.txt", text);
  for (const size_t block_bytes : {64u, 1021u, 65536u}) EXPECT_EQ(read_documents({input}, block_bytes), Documents{text});
}

TEST(CorpusReader, BadByteFarIn_OffsetIsThatOfTheFile) {
  const TempDir dir;
  std::string text(5000, 'a');
  text[4321] = '\x80';
  const fs::path input = dir.write("in.txt", text);
  for (const size_t block_bytes : {64u, 4320u, 4321u, 4322u, 1u << 20}) {
    EXPECT_ERROR_MENTIONS(error_of([&] { read_documents({input}, block_bytes); }), "in.txt", "0x80", "offset 4321");
  }
  text[4321] = '\0';
  dir.write("in.txt", text);
  EXPECT_ERROR_MENTIONS(error_of([&] { read_documents({input}, 64); }), "in.txt", "NUL", "offset 4321");
}

TEST(FindInvalidUtf8, EveryCodePointAndEveryShortSequence_MatchesTheDefinition) {
  // By the definition: decode by bit patterns, then reject overlong forms, surrogates and values above U+10FFFF.
  const auto is_valid = [](const std::string& s) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
    const size_t length = byte(0) < 0x80 ? 1 : byte(0) >> 5 == 6 ? 2 : byte(0) >> 4 == 14 ? 3 : byte(0) >> 3 == 30 ? 4 : 0;
    if (length != s.size()) return false;
    uint32_t c = length == 1 ? byte(0) : byte(0) & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      if (byte(i) >> 6 != 2) return false;
      c = c << 6 | (byte(i) & 63u);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    return c >= kLeast[length] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
  };
  const std::string tails[] = {"\x80", "\x8F", "\x90", "\x9F", "\xA0", "\xBF", "a", "\xC3"};
  for (int lead = 1; lead < 256; ++lead) {
    const std::string one(1, static_cast<char>(lead));
    for (const std::string& a : tails) {
      EXPECT_EQ(find_invalid_utf8(one) == std::string_view::npos, is_valid(one));
      if (lead < 0xC0 || a == "a") continue;
      EXPECT_EQ(find_invalid_utf8(one + a) == std::string_view::npos, is_valid(one + a)) << lead;
      for (const std::string& b : tails) {
        if (lead < 0xE0) continue;
        EXPECT_EQ(find_invalid_utf8(one + a + b) == std::string_view::npos, is_valid(one + a + b)) << lead;
        if (lead < 0xF0) continue;
        const std::string four = one + a + b + "\x80";
        EXPECT_EQ(find_invalid_utf8(four) == std::string_view::npos, is_valid(four)) << lead;
      }
    }
  }
}

}  // namespace
}  // namespace lapilli::testing
