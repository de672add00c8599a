#include "tokenizer/text/input_file.h"

#include <zlib.h>
#include <zstd.h>

#include "tests/tokenizer/support.h"
#include "tokenizer/text/corpus.h"

namespace lapilli::testing {
namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 1000, '\0'), in(text);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);  // as the program zstd does
  out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
  ZSTD_freeCCtx(context);
  return out;
}

std::vector<std::string> documents(const fs::path& path, CorpusOptions options = {}) {
  CorpusReader reader({&path, 1}, std::move(options));
  std::vector<std::string> found;
  for (CorpusReader::Piece piece; reader.next(piece);) {
    if (piece.starts_document) found.emplace_back();
    found.back() += piece.text;
  }
  return found;
}

TEST(InputFile, CompressedText_AnyBlockSize_ReadsLikePlainText) {
  const TempDir dir;
  const std::string text = small_text(40), half = text.substr(0, text.size() / 2), rest = text.substr(text.size() / 2);
  const std::string files[] = {gzip(text), gzip(half) + gzip(rest), zstd(text), zstd(half) + zstd(rest)};
  for (const std::string& bytes : files) {
    const fs::path path = dir.write("a.txt", bytes);
    for (const size_t block_bytes : {64U, 1000U, 1U << 20}) EXPECT_EQ(documents(path, {.block_bytes = block_bytes}), std::vector{text});
    EXPECT_EQ(decompressed_size(path), text.size());
  }
}

TEST(InputFile, TruncatedAnywhereOrDamaged_IsAnErrorThatNamesTheFile) {
  const TempDir dir;
  const std::string text = small_text(3);
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    for (size_t size = 4; size < whole.size(); size += 1 + size / 16)
      EXPECT_ERROR_MENTIONS(error_of([&] { documents(dir.write("cut", whole.substr(0, size))); }), "cut'", "cut short");
    std::string damaged = whole;
    for (size_t i = damaged.size() / 2; i < damaged.size() / 2 + 8; ++i) damaged[i] = static_cast<char>(~damaged[i]);
    EXPECT_ERROR_MENTIONS(error_of([&] { documents(dir.write("damaged", damaged)); }), "damaged'");
    EXPECT_ERROR_MENTIONS(error_of([&] { documents(dir.write("more", whole + "garbage")); }), "more'", "damaged");
  }
  EXPECT_ERROR_MENTIONS(error_of([&] { documents(dir.write("a.gz", "plain")); }), "a.gz'", "not a gzip file");
  EXPECT_ERROR_MENTIONS(error_of([&] { documents(dir.write("a.zst", "plain")); }), "a.zst'", "not a zstd file");
}

TEST(JsonLines, EachLine_IsADocument) {
  const TempDir dir;
  const std::string lines =
      "{\"text\": \"one\\n<|endoftext|>\\ntwo\"}\r\n\n{\"id\": 3, \"text\": \"\"}\n{\"text\": \"\\u00e9\\ud83c\\udf31\", \"more\": [1, {}]}";
  const std::vector<std::string> expected = {"one\n<|endoftext|>\ntwo", "\xC3\xA9\xF0\x9F\x8C\xB1"};
  for (size_t block_bytes = 64; block_bytes < lines.size() + 2; block_bytes += 7)
    EXPECT_EQ(documents(dir.write("a.jsonl", lines), {.block_bytes = block_bytes}), expected);
  EXPECT_EQ(documents(dir.write("a.jsonl.gz", gzip(lines))), expected);
  EXPECT_EQ(documents(dir.write("b.jsonl", "{\"body\": \"x\", \"text\": \"y\"}\n"), {.field = "body"}), std::vector<std::string>{"x"});
}

TEST(JsonLines, BadLines_ErrorsNameFileAndLine) {
  const TempDir dir;
  for (const auto& [line, says] :
       {std::pair("{\"text\": ", "not JSON"), std::pair("[1]", "array"), std::pair("{\"txt\": \"a\"}", "no field \"text\""),
        std::pair("{\"text\": 3}", "number"), std::pair("{\"text\": \"a\\u0000\"}", "NUL"), std::pair("{\"text\": \"\xE9\"}", "not JSON"),
        std::pair("{\"text\": \"\\ud800\"}", "not JSON")}) {
    const fs::path path = dir.write("a.jsonl", "{\"text\": \"good\"}\n" + std::string(line) + "\n");
    EXPECT_ERROR_MENTIONS(error_of([&] { documents(path); }), "a.jsonl' line 2", says);
  }
}

}  // namespace
}  // namespace lapilli::testing
