#include "tokenizer/data/dataset_import.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "tokenizer/data/dataset_writer.h"
#include "tokenizer/text/corpus.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

constexpr size_t kBlockTokens = 1 << 16;
constexpr uint32_t kMostTokens = 1 << 24;  // of a vocabulary

// What the data set will say of its tokens.
struct Vocabulary {
  TokenShardWriter::Options shard_options;
  std::string tokenizer_file;  // its bytes
  nlohmann::ordered_json about;
};

Vocabulary vocabulary_of_tokenizer(const ImportOptions& options) {
  const Tokenizer tokenizer(options.tokenizer);
  if (options.vocab_size != 0 && options.vocab_size != tokenizer.vocab_size()) {
    throw Error("--vocab-size {} is not that of the tokenizer '{}', which has {} tokens", options.vocab_size, options.tokenizer.string(),
                tokenizer.vocab_size());
  }
  return {.shard_options = shard_options(tokenizer),
          .tokenizer_file = read_text_file(options.tokenizer),
          .about = {{"type", tokenizer_type_name(tokenizer.type())}, {"vocab_size", tokenizer.vocab_size()}, {"hash", to_hex(tokenizer.hash())}}};
}

Vocabulary unknown_vocabulary(uint32_t vocab_size) {
  if (vocab_size == 0) throw Error("--vocab-size is needed without a tokenizer");
  if (vocab_size > kMostTokens) throw Error("--vocab-size {} is too large: at most {} are supported", vocab_size, kMostTokens);
  std::string file = fmt::format("{} is known for these tokens, which have a vocabulary of {}\n", kNoTokenizer, vocab_size);
  const uint64_t hash = hash_bytes(std::as_bytes(std::span(file)));
  return {.shard_options = {.token_bytes = std::vector<uint16_t>(vocab_size, 0), .eos_id = std::nullopt, .tokenizer_hash = hash},
          .tokenizer_file = std::move(file),
          .about = {{"type", "unknown"}, {"vocab_size", vocab_size}, {"hash", to_hex(hash)}}};
}

Vocabulary vocabulary_of(const ImportOptions& options) {
  Vocabulary vocabulary = options.tokenizer.empty() ? unknown_vocabulary(options.vocab_size) : vocabulary_of_tokenizer(options);
  const size_t vocab_size = vocabulary.shard_options.token_bytes.size();
  if (options.eos_id && *options.eos_id >= vocab_size) throw Error("--eos {} is not a token of a vocabulary of {}", *options.eos_id, vocab_size);
  if (options.eos_id) vocabulary.shard_options.eos_id = options.eos_id;
  return vocabulary;
}

void append_files(TokenShardWriter& writer, std::span<const std::filesystem::path> inputs, TokenFormat format, const Vocabulary& vocabulary) {
  const std::optional<uint32_t> eos = vocabulary.shard_options.eos_id;
  const auto vocab_size = static_cast<uint32_t>(vocabulary.shard_options.token_bytes.size());
  std::vector<uint32_t> ids(kBlockTokens);
  bool document_begins = true;
  for (const std::filesystem::path& input : inputs) {
    TokenFile file(input, format);
    while (const size_t count = file.read(ids, vocab_size)) {
      for (auto begin = ids.begin(), end = begin + static_cast<ptrdiff_t>(count); begin != end;) {
        auto next = eos ? std::find(begin, end, *eos) : end;
        const bool ends = next != end;
        if (ends) ++next;  // EOS belongs to the document that it ends
        if (document_begins) writer.begin_document();
        writer.append({begin, next});
        document_begins = ends;
        begin = next;
      }
    }
  }
}

SplitSummary write_whole(const Destination& to, const char* name, std::span<const std::filesystem::path> inputs, TokenFormat format,
                         const Vocabulary& vocabulary) {
  TokenShardWriter writer(to.folder / name, to.shard_options);
  append_files(writer, inputs, format, vocabulary);
  if (writer.token_count() < 2) throw Error("{}: {} token(s), and at least 2 are needed", names_of(inputs), writer.token_count());
  writer.finish();
  return summarize_shard(to.folder / name, 0);
}

}  // namespace

DatasetSummary import_dataset(std::span<const std::filesystem::path> inputs, const ImportOptions& options, const std::filesystem::path& out_dir,
                              std::span<const std::filesystem::path> val_inputs) {
  if (inputs.empty()) throw Error("no tokens given: name at least one file");
  const Vocabulary vocabulary = vocabulary_of(options);
  // What is not of the format is found before a folder is made.
  for (const auto files : {inputs, val_inputs})
    for (const std::filesystem::path& path : files) TokenFile(path, options.format);
  require_good_split(inputs, val_inputs, options.val_fraction);
  StagedFolder staging(out_dir);

  const Destination to{staging, vocabulary.shard_options};
  DatasetSummary summary;
  if (val_inputs.empty()) {
    write_whole(to, kAllTokensName, inputs, options.format, vocabulary);
    summary = split_all_tokens(to, {}, {}, options.val_fraction, names_of(inputs));
  } else {
    summary.split = SplitKind::own_files;
    summary.train = write_whole(to, kTrainShardName, inputs, options.format, vocabulary);
    summary.val = write_whole(to, kValShardName, val_inputs, options.format, vocabulary);
  }
  nlohmann::ordered_json about = {{"tokenizer", vocabulary.about}, {"imported", kTokenFormatNames[static_cast<size_t>(options.format)]}};
  about.update(describe_inputs(inputs, val_inputs, options.val_fraction));
  finish_dataset(staging, summary, vocabulary.tokenizer_file, about);
  return summary;
}

}  // namespace lapilli
