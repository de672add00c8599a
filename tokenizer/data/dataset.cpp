#include "tokenizer/data/dataset.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/synth/synth.h"
#include "tokenizer/text/corpus.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kAllTokensName = "all.bin";

TokenShardWriter::Options shard_options(const Tokenizer& tokenizer) {
  return {.token_bytes = tokenizer.token_bytes(), .eos_id = tokenizer.eos_id(), .tokenizer_hash = tokenizer.hash()};
}

// Text -> one shard of all tokens. EOS is added only if there is a second document.
class CorpusEncoder {
 public:
  CorpusEncoder(const Tokenizer& tokenizer, TokenShardWriter& writer) : tokenizer_(tokenizer), writer_(writer) {}

  // Returns how many documents each input holds.
  std::vector<uint64_t> encode(std::span<const std::filesystem::path> inputs) {
    std::vector<uint64_t> documents(inputs.size(), 0);
    CorpusReader reader(inputs);
    for (CorpusReader::Piece piece; reader.next(piece);) {
      if (piece.starts_document) {
        if (reader.document_count() > 1) end_document(true);
        writer_.begin_document();
        ++documents[reader.file_index()];
      }
      text_.append(piece.text);
      encode_text(false);
    }
    end_document(reader.document_count() > 1);
    return documents;
  }

 private:
  void encode_text(bool is_end) {
    ids_.clear();
    text_.erase(0, tokenizer_.encode_prefix(ids_, text_, is_end));
    writer_.append(ids_);
  }

  void end_document(bool with_eos) {
    encode_text(true);
    if (!with_eos) return;
    const std::optional<uint32_t> eos = tokenizer_.eos_id();
    if (!eos) {
      throw Error(
          "'{}' has no end-of-text token, which a corpus of several documents needs: train a tokenizer with "
          "`lapilli tokenizer train`",
          tokenizer_.path().string());
    }
    writer_.append({&*eos, 1});
  }

  const Tokenizer& tokenizer_;
  TokenShardWriter& writer_;
  std::string text_;
  std::vector<uint32_t> ids_;
};

// -ln p of every document, when all inputs are synthetic and have several documents; else empty.
std::vector<double> document_nats(std::span<const std::filesystem::path> inputs, std::span<const uint64_t> documents_per_input) {
  std::vector<double> nats;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<std::vector<double>> stories = read_synth_nats(inputs[i]);
    if (!stories) return {};
    if (stories->size() != documents_per_input[i]) {
      throw Error("'{}' has {} documents, and '{}' describes {} stories: make the corpus again, or remove that file", inputs[i].string(),
                  documents_per_input[i], synth_nats_path(inputs[i]).string(), stories->size());
    }
    nats.insert(nats.end(), stories->begin(), stories->end());
  }
  return nats.size() > 1 ? nats : std::vector<double>{};
}

// First validation token, by the rule in dataset.h.
uint64_t split_position(const TokenShard& all, double val_fraction) {
  const auto train_tokens = static_cast<uint64_t>((1.0 - val_fraction) * static_cast<double>(all.token_count()));
  const std::span<const uint64_t> starts = all.document_starts();
  if (starts.size() == 1) return train_tokens;
  const uint64_t document = all.document_of(std::min(train_tokens, all.token_count() - 1));
  return starts[std::max<uint64_t>(document, 1)];
}

// Tokens [begin, end) of `all` -> a separate shard, with its documents.
SplitSummary write_split(const std::filesystem::path& path, const TokenShard& all, TokenShardWriter::Options options, uint64_t begin, uint64_t end,
                         std::span<const double> nats) {
  TokenShardWriter writer(path, std::move(options));
  std::vector<uint32_t> block;
  double split_nats = nats.empty() ? kUnknown : 0;
  SplitSummary summary;
  const std::span<const uint64_t> starts = all.document_starts();
  for (uint64_t position = begin; position < end;) {
    const uint64_t document = all.document_of(position);
    const uint64_t document_end = std::min(end, document + 1 < starts.size() ? starts[document + 1] : end);
    writer.begin_document();
    if (!nats.empty()) split_nats += nats[document];
    ++summary.documents;
    while (position < document_end) {
      block.resize(std::min<uint64_t>(document_end - position, 1 << 18));
      all.read(block, position);
      writer.append(block);
      position += block.size();
    }
  }
  writer.finish(split_nats);
  summary.checksum = TokenShard(path, TokenShard::Verify::kHeader).checksum();
  summary.tokens = end - begin;
  summary.text_bytes = all.bytes_of_range(begin, end);
  summary.source_entropy_nats = split_nats;
  return summary;
}

nlohmann::ordered_json to_json(const SplitSummary& split) {
  nlohmann::ordered_json json = {
      {"tokens", split.tokens}, {"documents", split.documents}, {"text_bytes", split.text_bytes}, {"checksum", to_hex(split.checksum)}};
  if (!std::isnan(split.source_entropy_nats)) {
    json["source_entropy_nats"] = split.source_entropy_nats;
    json["source_entropy_nats_per_token"] = split.source_entropy_nats / static_cast<double>(split.tokens);
  }
  return json;
}

void write_dataset_json(const std::filesystem::path& path, const DatasetSummary& summary, const Tokenizer& tokenizer,
                        std::span<const std::filesystem::path> inputs, double val_fraction) {
  nlohmann::ordered_json json = {
      {"format", "lapilli data set"},
      {"version", 1},
      {"tokenizer", {{"type", tokenizer_type_name(tokenizer.type())}, {"vocab_size", tokenizer.vocab_size()}, {"hash", to_hex(tokenizer.hash())}}},
      {"token_width_bits", summary.token_width_bits},
      {"bytes_per_token", summary.bytes_per_token},
      {"val_fraction", val_fraction},
      {"train", to_json(summary.train)},
      {"val", to_json(summary.val)}};
  for (const std::filesystem::path& input : inputs) json["inputs"].push_back(input.filename().string());
  write_file_atomically(path, json_text(json, 2) + "\n");
}

}  // namespace

void require_one_dataset(const std::filesystem::path& dir, const TokenShard& train, const TokenShard& val) {
  const std::filesystem::path path = dir / kDatasetJsonName;
  if (std::error_code ignored; !std::filesystem::exists(path, ignored))
    throw Error("the data set '{}' is not whole: {} is missing; build it again", dir.string(), kDatasetJsonName);
  const nlohmann::ordered_json json = parse_json(read_text_file(path));
  for (const auto& [name, shard] : {std::pair("train", &train), std::pair("val", &val)}) {
    const nlohmann::ordered_json* split = json.is_object() && json.contains(name) ? &json[name] : nullptr;
    if (split == nullptr || !split->is_object())
      throw Error("'{}' is damaged: it says nothing about \"{}\"; build the data again", path.string(), name);
    if (!split->contains("checksum")) continue;  // of a program before checksums were written
    if ((*split)["checksum"] != to_hex(shard->checksum()))
      throw Error("'{}' is not of the same data set as '{}': build the data again", shard->path().string(), path.string());
  }
}

DatasetSummary build_dataset(const std::filesystem::path& tokenizer_path, std::span<const std::filesystem::path> inputs,
                             const std::filesystem::path& out_dir, double val_fraction) {
  if (!(val_fraction > 0 && val_fraction < 1)) {
    throw Error("--val-fraction {} is not between 0 and 1: 0.1 keeps the last tenth for validation", val_fraction);
  }
  const Tokenizer tokenizer(tokenizer_path);
  const std::string model = read_text_file(tokenizer_path);
  const CorpusReader check_inputs(inputs);  // missing or empty files are found before a folder is made
  StagedFolder staging(out_dir);

  TokenShardWriter writer(staging / kAllTokensName, shard_options(tokenizer));
  const std::vector<uint64_t> documents_per_input = CorpusEncoder(tokenizer, writer).encode(inputs);
  writer.finish();
  const std::vector<double> nats = document_nats(inputs, documents_per_input);

  const TokenShard all(staging / kAllTokensName, TokenShard::Verify::kHeader);
  const uint64_t n = all.token_count();
  const uint64_t split = n == 0 ? 0 : split_position(all, val_fraction);
  if (split < 2 || n - split < 2) {
    throw Error(
        "the text is too short to split: {} tokens in {} document(s) leave {} for training and {} for "
        "validation, and each needs at least 2; give more text or another --val-fraction than {}",
        n, all.document_starts().size(), split, n - split, val_fraction);
  }
  DatasetSummary summary;
  summary.vocab_size = all.vocab_size();
  summary.token_width_bits = all.token_width_bits();
  summary.train = write_split(staging / kTrainShardName, all, shard_options(tokenizer), 0, split, nats);
  summary.val = write_split(staging / kValShardName, all, shard_options(tokenizer), split, n, nats);
  summary.bytes_per_token = static_cast<double>(all.text_bytes()) / static_cast<double>(n);
  write_file_atomically(staging / kTokenizerName, model);
  write_dataset_json(staging / kDatasetJsonName, summary, tokenizer, inputs, val_fraction);
  std::filesystem::remove(staging / kAllTokensName);
  staging.publish_files(kDatasetNames);
  return summary;
}

}  // namespace lapilli
