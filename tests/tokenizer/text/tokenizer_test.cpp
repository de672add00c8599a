#include "tokenizer/text/tokenizer.h"

#include <algorithm>
#include <random>

#include "tests/tokenizer/support.h"

namespace lapilli::testing {
namespace {

const std::vector<std::string> kNastyTexts = {
    "", " ", "  ", "\n", "\n\n\n", " \n \n", "plain words", " leading and trailing ", "many     spaces   in      a row",
    "\ttabs\t\tand\r\nCRLF\r\n\r",
    "\xE2\x96\x81",  // U+2581 alone
    "a\xE2\x96\x81 b \xE2\x96\x81\xE2\x96\x81"
    "c\xE2\x96\x81\n",               // U+2581 between and beside spaces
    "\xE2\x96\x85 \xE2\x81\x87 ??",  // signs SentencePiece uses for unknown characters
    "<s>literal</s> <unk> <pad> <0x0A> <0xE2> <|endoftext|>",
    "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 family, \xF0\x9F\x87\xAB\xF0\x9F\x87\xB7 flag",  // emoji with ZWJ,
                                                                                                   // flags
    "e\xCC\x81 is not \xC3\xA9",                        // combining accent against the composed letter
    "\xEF\xAC\x81 \xC2\xBD \xEF\xBC\xA1 \xE2\x84\xAB",  // ligature, one half, full-width A, angstrom: NFKC would change
                                                        // all
    "\xE2\x80\x8B\xE2\x80\x8E\xEF\xBB\xBF zero width \xC2\xA0 no-break \xE3\x80\x80 ideographic space",
    "\xE6\xBC\xA2\xE5\xAD\x97\xE3\x81\x8B\xE3\x81\xAA \xD8\xB9\xD8\xB1\xD8\xA8\xD9\x8A \xD0\xBA\xD0\xB8\xD1\x80",
    "\x01\x02\x7F\x0B\x0C control \xC2\x85 \xE2\x80\xA8 line separators",
    "\xEF\xBF\xBD \xEF\xBF\xBE \xF4\x8F\xBF\xBF",  // U+FFFD, a noncharacter, the last code point
};

std::string utf8(uint32_t c) {
  std::string out;
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 63));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 63)), put(0x80 | (c >> 6 & 63)), put(0x80 | (c & 63));
  }
  return out;
}

std::string random_text(std::mt19937_64& random, size_t characters) {
  std::string text;
  while (characters-- > 0) {
    const uint64_t kind = random() % 8;
    uint32_t c = static_cast<uint32_t>(kind == 0   ? random() % 0x110000
                                       : kind == 1 ? 0x2580 + random() % 8
                                       : kind == 2 ? ' '
                                       : kind == 3 ? '\n'
                                                   : 32 + random() % 95);
    if (c == 0 || (c >= 0xD800 && c < 0xE000)) c = 'x';
    text += utf8(c);
  }
  return text;
}

class TokenizerTypes : public ::testing::TestWithParam<TokenizerType> {
 protected:
  TempDir dir_;
  Tokenizer tokenizer_ = make_tokenizer(dir_, GetParam(), 420, small_text());
};

INSTANTIATE_TEST_SUITE_P(All, TokenizerTypes,
                         ::testing::Values(TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte),
                         [](const auto& test) { return std::string(tokenizer_type_name(test.param)); });

TEST_P(TokenizerTypes, EncodeDecode_EdgeCaseTexts_ReturnsTheSameBytes) {
  for (const std::string& text : kNastyTexts) {
    const std::vector<uint32_t> ids = tokenizer_.encode(text);
    EXPECT_EQ(tokenizer_.decode(ids), text);
    for (const uint32_t id : ids) EXPECT_GE(id, 3u) << "a special token came out of: " << text;
  }
}

TEST_P(TokenizerTypes, EncodeDecode_RandomUnicode_ReturnsTheSameBytes) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random, random() % 60);
    EXPECT_EQ(tokenizer_.decode(tokenizer_.encode(text)), text);
  }
}

TEST_P(TokenizerTypes, Encode_Newline_IsOneTokenOfItsOwn) {
  const std::vector<uint32_t> newline = tokenizer_.encode("\n");
  ASSERT_EQ(newline.size(), 1u);
  std::vector<uint32_t> expected = tokenizer_.encode("said Tom.");
  expected.insert(expected.end(), {newline[0], newline[0]});
  for (const uint32_t id : tokenizer_.encode("One day,")) expected.push_back(id);
  EXPECT_EQ(tokenizer_.encode("said Tom.\n\nOne day,"), expected);
}

TEST_P(TokenizerTypes, TokenBytes_AnyText_SumToItsSize) {
  const std::vector<uint16_t> sizes = tokenizer_.token_bytes();
  ASSERT_EQ(sizes.size(), tokenizer_.vocab_size());
  EXPECT_EQ(sizes[*tokenizer_.eos_id()], 0);
  for (const std::string& text : kNastyTexts) {
    size_t bytes = 0;
    for (const uint32_t id : tokenizer_.encode(text)) bytes += sizes[id];
    EXPECT_EQ(bytes, text.size()) << text;
  }
}

TEST_P(TokenizerTypes, Specials_TrainedHere_AreOneAndTwo) {
  EXPECT_EQ(tokenizer_.bos_id(), 1u);
  EXPECT_EQ(tokenizer_.eos_id(), 2u);
  EXPECT_EQ(tokenizer_.piece(2), "</s>");
  EXPECT_EQ(tokenizer_.piece_bytes(2), "");
  EXPECT_EQ(tokenizer_.type(), GetParam());
}

// Feeds the text in blocks of `block_bytes`, as a reader of large files does.
std::vector<uint32_t> encode_in_blocks(const Tokenizer& tokenizer, std::string_view text, size_t block_bytes) {
  std::vector<uint32_t> ids;
  std::string waiting;
  for (size_t i = 0; i < text.size(); i += block_bytes) {
    waiting += text.substr(i, block_bytes);
    // A block may truncate a character, which CorpusReader never does: keep it for the next block.
    size_t whole = waiting.size();
    while (whole > 0 && i + block_bytes < text.size() && (text[i + block_bytes] & 0xC0) == 0x80 && (waiting[--whole] & 0xC0) == 0x80) {
    }
    const size_t consumed = tokenizer.encode_prefix(ids, std::string_view(waiting).substr(0, whole), false);
    waiting.erase(0, consumed);
  }
  EXPECT_EQ(tokenizer.encode_prefix(ids, waiting, true), waiting.size());
  return ids;
}

TEST_P(TokenizerTypes, EncodePrefix_AnyBlockSize_GivesTheIdsOfTheWhole) {
  std::string text = small_text(12);
  for (int i = 0; i < 3000; ++i) text += "\xE6\xBC\xA2xy";  // a word of 15000 bytes: cut several times, also inside a character
  text += "   \n  " + small_text(2) + std::string(9000, ' ') + "end";
  const std::vector<uint32_t> whole = tokenizer_.encode(text);
  EXPECT_EQ(tokenizer_.decode(whole), text);
  for (const size_t block_bytes : {7U, 64U, 1000U, 4096U, 5000U, 100000U}) {
    EXPECT_EQ(encode_in_blocks(tokenizer_, text, block_bytes), whole) << "blocks of " << block_bytes;
  }
}

TEST_P(TokenizerTypes, Encode_NotPlainText_IsAnError) {
  EXPECT_ERROR_MENTIONS(error_of([&] { tokenizer_.encode("ab\xFF"); }), "UTF-8", "offset 2");
  EXPECT_ERROR_MENTIONS(error_of([&] { tokenizer_.encode(std::string_view("abc\0d", 5)); }), "NUL", "offset 3");
}

TEST(Tokenizer, Encode_SecondTimeFromTheCache_IsTheSame) {
  const TempDir dir;
  const Tokenizer tokenizer = make_tokenizer(dir, TokenizerType::kUnigram, 600, small_text());
  const std::string text = small_text(3);
  const std::vector<uint32_t> first = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.encode(text), first);
  EXPECT_LT(first.size(), text.size() / 2) << "subwords should be longer than two bytes on their own training text";
}

TEST(Tokenizer, Load_NotAModel_NamesFileAndCure) {
  const TempDir dir;
  for (const std::string_view bytes : {"", "hello, I am no model", "\x0A\xFF\xFF\xFF\xFF\x0F"}) {
    const fs::path path = dir.write("bad.model", bytes);
    EXPECT_ERROR_MENTIONS(error_of([&] { Tokenizer{path}; }), "bad.model", "tokenizer train");
  }
  EXPECT_ERROR_MENTIONS(error_of([&] { Tokenizer{dir / "missing.model"}; }), "missing.model");
}

TEST(Tokenizer, Hash_OtherModel_Differs) {
  const TempDir dir;
  const Tokenizer a = make_tokenizer(dir, TokenizerType::kBpe, 330, small_text());
  const Tokenizer b = make_tokenizer(dir, TokenizerType::kBpe, 331, small_text());
  EXPECT_NE(a.hash(), b.hash());
}

}  // namespace
}  // namespace lapilli::testing
