// Encoding on several threads: the tokens depend neither on them nor on where the text is cut.

#include "tokenizer/data/text_encoder.h"

#include "tests/tokenizer/byte_bpe.h"
#include "tokenizer/data/corpus_encoder.h"

namespace lapilli::testing {
namespace {

TEST(EncodeCorpus, ThreadsAndBatches_SameBytes) {
  const TempDir dir;
  std::string text = small_text(30) + "\n<|endoftext|>\nx\n\n y\n  z\xE3\x80\x80\n\xE6\xBC\xA2\n\xC3\xA9\n" + std::string(3000, 'w');
  text += "\n<|endoftext|>\n" + small_text(10) + "what?!\nyes\n1\n2 3\n<tool>\n<tools>\n\n4\r\n\xC2\xB2\nx";
  const fs::path input = dir.write("in.txt", text);
  std::vector<Tokenizer> tokenizers;
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte})
    tokenizers.push_back(make_tokenizer(dir, type, 400, text));
  for (const char* splitter : kSplitters) tokenizers.push_back(make_byte_bpe(dir, splitter));
  for (const Tokenizer& tokenizer : tokenizers) {
    const auto shard = [&](const EncodeOptions& options) {
      TokenShardWriter writer(dir / "s.bin", shard_options(tokenizer));
      encode_corpus(writer, tokenizer, {&input, 1}, options);
      writer.finish();
      return read_text_file(dir / "s.bin");
    };
    const std::string expected = shard({.threads = 1});
    for (const unsigned threads : {1U, 2U, 4U}) {
      for (const size_t batch_bytes : {1U, 100U, 1000U, 5000U})
        EXPECT_TRUE(shard({.threads = threads, .batch_bytes = batch_bytes, .most_batch_bytes = 6000}) == expected)
            << tokenizer.path() << ' ' << threads << ' ' << batch_bytes;
    }
  }
}

// Without a place to be cut, several of the reader's blocks are encoded as one text; a word is as long as it is.
TEST(EncodeCorpus, TextsOfOneLine_SameTokensAsTheWhole) {
  const TempDir dir;
  std::string words;
  for (int i = 0; words.size() < 400000; ++i) words += fmt::format("there was <tool> {} ", i);
  for (const char* splitter : kSplitters) {
    const Tokenizer tokenizer = make_byte_bpe(dir, splitter);
    for (const std::string& text : {words, std::string(400000, 'w'), std::string(400000, ' ') + "x"}) {
      const fs::path input = dir.write("in.txt", text);
      TokenShardWriter writer(dir / "s.bin", shard_options(tokenizer));
      encode_corpus(writer, tokenizer, {&input, 1}, {.threads = 2, .batch_bytes = 1000, .most_batch_bytes = 150000});
      writer.finish();
      const TokenShard shard(dir / "s.bin");
      std::vector<uint32_t> ids(shard.token_count());
      shard.read(ids, 0);
      EXPECT_TRUE(ids == tokenizer.encode(text)) << splitter << ' ' << text.substr(0, 9);
    }
  }
}

}  // namespace
}  // namespace lapilli::testing
