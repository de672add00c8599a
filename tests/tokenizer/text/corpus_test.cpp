#include "tokenizer/text/corpus.h"

#include "engine/base/utf8.h"
#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

std::vector<std::string> read_documents(const std::vector<fs::path>& inputs, size_t block_bytes) {
  std::vector<std::string> documents;
  CorpusReader reader(inputs, {.block_bytes = block_bytes});
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

TEST(CorpusReader, SeparatorAsOtherProgramsWriteIt_AnyBlockSize_StillSeparates) {
  const TempDir dir;
  const std::string most(64, ' '), too_many(65, ' ');
  const std::string text =
      "\xEF\xBB\xBF"
      "one\r\n<|endoftext|>\r\n"
      "two\n<|endoftext|> \t \n"
      "three\n<|endoftext|>\t\r\n"
      "four\n\xEF\xBB\xBF<|endoftext|>\r\n"
      "five\n<|endoftext|>" +
      most +
      "\n"
      "six\n<|endoftext|>" +
      too_many +
      "\n\xEF\xBB\xBF of a file that was appended\n<|endoftext|>\r and more\n\xEF\xBB\xBF\xEF\xBB\xBF<|endoftext|>\n<|endoftext|>\r\n"
      "seven\r\n<|endoftext|> \r";
  const fs::path input = dir.write("in.txt", text);
  const std::string six = "six\n<|endoftext|>" + too_many +
                          "\n\xEF\xBB\xBF of a file that was appended\n<|endoftext|>\r and more\n\xEF\xBB\xBF\xEF\xBB\xBF<|endoftext|>\n";
  const Documents expected = {"one\r\n", "two\n", "three\n", "four\n", "five\n", six, "seven\r\n"};
  for (size_t block_bytes = 64; block_bytes < text.size() + 2; ++block_bytes) {
    EXPECT_EQ(read_documents({input}, block_bytes), expected) << "blocks of " << block_bytes;
  }
}

TEST(CorpusReader, ByteOrderMarkAtTheStartOfAFile_IsNotText) {
  const TempDir dir;
  const std::vector<fs::path> inputs = {dir.write("a.txt", "\xEF\xBB\xBFtext"), dir.write("b.txt", "\xEF\xBB\xBF<|endoftext|>\r\nb"),
                                        dir.write("c.txt", "\xEF\xBB\xBF")};
  EXPECT_EQ(read_documents(inputs, 64), (Documents{"text", "b"}));
}

TEST(CorpusReader, NoTextAtAll_IsAnErrorThatNamesTheInputs) {
  const TempDir dir;
  const fs::path only = dir.write("only.txt", "<|endoftext|>\n<|endoftext|>\r\n"), mark = dir.write("mark.txt", "\xEF\xBB\xBF");
  EXPECT_ERROR_MENTIONS(error_of([&] { read_documents({only}, 64); }), "only.txt' holds no text");
  EXPECT_ERROR_MENTIONS(error_of([&] { read_documents({mark}, 64); }), "mark.txt' holds no text");
  EXPECT_ERROR_MENTIONS(error_of([&] { read_documents({only, mark}, 64); }), "only.txt' and 1 more file hold no text");
}

}  // namespace
}  // namespace lapilli::testing
