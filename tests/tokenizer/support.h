#pragma once
// Shared by the tests of this folder: a seeded little corpus, its tokenizers and its shards.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/environment.h"
#include "engine/base/file.h"
#include "tests/common/files.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/synth/synth.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli::testing {

// Some stories, without separators: a text with repeated words, punctuation and newlines.
inline std::string small_text(uint64_t stories = 60) {
  std::string text;
  for (uint64_t i = 0; i < stories; ++i) text += synth_story(11, i).text;
  return text;
}

inline Tokenizer make_tokenizer(const TempDir& dir, TokenizerType type, uint32_t vocab_size, std::string_view text) {
  const fs::path input = dir.write("tokenizer-input.txt", text);
  const fs::path model = dir / fmt::format("{}.model", tokenizer_type_name(type));
  train_tokenizer({.type = type, .vocab_size = vocab_size}, {&input, 1}, model);
  return Tokenizer(model);
}

// A shard of these tokens, cut into documents of the given lengths (one document when there are none). Token id i
// stands for i % 3 bytes.
inline fs::path write_shard(const fs::path& path, const std::vector<uint32_t>& tokens, uint32_t vocab_size,
                            std::vector<size_t> document_lengths = {}) {
  TokenShardWriter::Options options{.token_bytes = {}, .eos_id = 2, .tokenizer_hash = 0xABCDEF};
  for (uint32_t id = 0; id < vocab_size; ++id) options.token_bytes.push_back(static_cast<uint16_t>(id % 3));
  TokenShardWriter writer(path, options);
  if (document_lengths.empty()) document_lengths = {tokens.size()};
  size_t begin = 0;
  for (const size_t length : document_lengths) {
    writer.begin_document();
    writer.append(std::span(tokens).subspan(begin, length));
    begin += length;
  }
  writer.finish();
  return path;
}

// The folder of shared data beside the source tree, if there is one.
inline std::optional<fs::path> shared_dir() {
  const std::optional<std::string> named = environment("LAPILLI_SHARED");
  const fs::path path = named ? fs::path(*named) : fs::path(LAPILLI_SOURCE_DIR) / ".." / "shared";
  if (!fs::is_directory(path)) return std::nullopt;
  return path;
}

}  // namespace lapilli::testing
