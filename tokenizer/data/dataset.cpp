#include "tokenizer/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "tokenizer/data/corpus_encoder.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/synth/synth.h"
#include "tokenizer/text/corpus.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr const char* kAllTokensName = "all.bin";

// -ln p of every document, when all inputs are synthetic and each document ends with EOS; else empty.
std::vector<double> document_nats(std::span<const std::filesystem::path> inputs, const EncodedCorpus& encoded) {
  std::vector<double> nats;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<std::vector<double>> stories = read_synth_nats(inputs[i]);
    if (!stories) return {};
    if (stories->size() != encoded.documents[i]) {
      throw Error("'{}' has {} documents, and '{}' describes {} stories: make the corpus again, or remove that file", inputs[i].string(),
                  encoded.documents[i], synth_nats_path(inputs[i]).string(), stories->size());
    }
    nats.insert(nats.end(), stories->begin(), stories->end());
  }
  return encoded.has_eos ? nats : std::vector<double>{};
}

// First validation token, by the rule in dataset.h. REQUIRES a token.
uint64_t split_position(const TokenShard& all, double val_fraction) {
  const uint64_t n = all.token_count();
  const auto wanted = static_cast<uint64_t>((1.0 - val_fraction) * static_cast<double>(n));
  const auto distance = [&](uint64_t position) { return position > wanted ? position - wanted : wanted - position; };
  const auto is_near = [](uint64_t part, uint64_t wanted_part) { return 2 * part >= wanted_part && part <= 2 * wanted_part; };
  std::optional<uint64_t> best;
  for (const uint64_t boundary : all.document_starts().subspan(1)) {
    if (!is_near(boundary, wanted) || !is_near(n - boundary, n - wanted)) continue;
    if (!best || distance(boundary) < distance(*best)) best = boundary;
  }
  return best.value_or(wanted);
}

SplitSummary summarize(const std::filesystem::path& path, uint64_t lost_bytes) {
  const TokenShard shard(path, TokenShard::Verify::kHeader);
  return {.tokens = shard.token_count(),
          .documents = shard.document_starts().size(),
          .text_bytes = shard.text_bytes(),
          .lost_bytes = lost_bytes,
          .source_entropy_nats = shard.source_entropy_nats(),
          .checksum = shard.checksum()};
}

// Tokens [begin, end) of `all` -> a separate shard, with its documents. `nats`: of each document of `all`, or empty.
SplitSummary write_split(const std::filesystem::path& path, const TokenShard& all, const EncodedCorpus& encoded, TokenShardWriter::Options options,
                         uint64_t begin, uint64_t end, std::span<const double> nats) {
  TokenShardWriter writer(path, std::move(options));
  std::vector<uint32_t> block;
  double split_nats = nats.empty() ? kUnknown : 0;
  const std::span<const uint64_t> starts = all.document_starts();
  for (uint64_t position = begin; position < end;) {
    const uint64_t document = all.document_of(position);
    const uint64_t document_end = std::min(end, document + 1 < starts.size() ? starts[document + 1] : end);
    writer.begin_document();
    if (!nats.empty()) split_nats += nats[document];
    while (position < document_end) {
      block.resize(std::min<uint64_t>(document_end - position, 1 << 18));
      all.read(block, position);
      writer.append(block);
      position += block.size();
    }
  }
  const TextBytes bytes = encoded.text_bytes(begin, end);
  writer.add_text_bytes(bytes.beyond_tokens);
  writer.finish(split_nats);
  return summarize(path, bytes.lost);
}

// Where the shards of a data set are written.
struct Destination {
  const Tokenizer& tokenizer;
  const StagedFolder& folder;
};

// All tokens go to one shard, because where to split is known only then.
DatasetSummary split_by_fraction(const Destination& to, std::span<const std::filesystem::path> inputs, double val_fraction) {
  TokenShardWriter writer(to.folder / kAllTokensName, shard_options(to.tokenizer));
  const EncodedCorpus encoded = encode_corpus(writer, to.tokenizer, inputs);
  writer.finish();
  std::vector<double> nats = document_nats(inputs, encoded);

  const TokenShard all(to.folder / kAllTokensName, TokenShard::Verify::kHeader);
  const uint64_t n = all.token_count();
  const uint64_t split = n == 0 ? 0 : split_position(all, val_fraction);
  if (split < 2 || n - split < 2) {
    throw Error(
        "{}: the text is too short to split: {} tokens in {} document(s) leave {} for training and {} for "
        "validation, and each needs at least 2; give more text or another --val-fraction than {}",
        names_of(inputs), n, all.document_starts().size(), split, n - split, val_fraction);
  }
  DatasetSummary summary;
  summary.split = std::ranges::binary_search(all.document_starts(), split) ? SplitKind::between_documents : SplitKind::inside_a_document;
  if (summary.split == SplitKind::inside_a_document) nats.clear();
  summary.train = write_split(to.folder / kTrainShardName, all, encoded, shard_options(to.tokenizer), 0, split, nats);
  summary.val = write_split(to.folder / kValShardName, all, encoded, shard_options(to.tokenizer), split, n, nats);
  std::filesystem::remove(to.folder / kAllTokensName);
  return summary;
}

// One shard of whole texts. `has_eos`: whether documents end with EOS even if there is one; set to whether they do.
SplitSummary write_whole(const Destination& to, const char* name, std::span<const std::filesystem::path> inputs, bool& has_eos) {
  TokenShardWriter writer(to.folder / name, shard_options(to.tokenizer));
  const EncodedCorpus encoded = encode_corpus(writer, to.tokenizer, inputs, has_eos);
  has_eos = encoded.has_eos;
  if (writer.token_count() < 2)
    throw Error("{}: the text is too short: {} token(s), and at least 2 are needed", names_of(inputs), writer.token_count());
  const std::vector<double> nats = document_nats(inputs, encoded);
  writer.finish(nats.empty() ? kUnknown : std::accumulate(nats.begin(), nats.end(), 0.0));
  return summarize(to.folder / name, encoded.text_bytes(0, writer.token_count()).lost);
}

DatasetSummary split_by_files(const Destination& to, std::span<const std::filesystem::path> inputs,
                              std::span<const std::filesystem::path> val_inputs) {
  DatasetSummary summary;
  summary.split = SplitKind::own_files;
  bool has_eos = false;
  summary.train = write_whole(to, kTrainShardName, inputs, has_eos);
  summary.val = write_whole(to, kValShardName, val_inputs, has_eos);
  return summary;
}

nlohmann::ordered_json to_json(const SplitSummary& split) {
  nlohmann::ordered_json json = {{"tokens", split.tokens},
                                 {"documents", split.documents},
                                 {"text_bytes", split.text_bytes},
                                 {"lost_bytes", split.lost_bytes},
                                 {"checksum", to_hex(split.checksum)}};
  if (!std::isnan(split.source_entropy_nats)) {
    json["source_entropy_nats"] = split.source_entropy_nats;
    json["source_entropy_nats_per_token"] = split.source_entropy_nats / static_cast<double>(split.tokens);
  }
  return json;
}

void write_dataset_json(const std::filesystem::path& path, const DatasetSummary& summary, const Tokenizer& tokenizer,
                        std::span<const std::filesystem::path> inputs, std::span<const std::filesystem::path> val_inputs, double val_fraction) {
  nlohmann::ordered_json json = {
      {"format", "lapilli data set"},
      {"version", 1},
      {"tokenizer", {{"type", tokenizer_type_name(tokenizer.type())}, {"vocab_size", tokenizer.vocab_size()}, {"hash", to_hex(tokenizer.hash())}}},
      {"token_width_bits", summary.token_width_bits},
      {"bytes_per_token", summary.bytes_per_token},
      {"split", to_string(summary.split)},
      {"train", to_json(summary.train)},
      {"val", to_json(summary.val)}};
  if (val_inputs.empty()) json["val_fraction"] = val_fraction;
  for (const std::filesystem::path& input : inputs) json["inputs"].push_back(input.filename().string());
  for (const std::filesystem::path& input : val_inputs) json["val_inputs"].push_back(input.filename().string());
  write_file_atomically(path, json_text(json, 2) + "\n");
}

}  // namespace

std::string_view to_string(SplitKind kind) {
  switch (kind) {
    case SplitKind::between_documents: return "between documents";
    case SplitKind::inside_a_document: return "inside a document";
    case SplitKind::own_files: return "own files";
  }
  return "unknown";
}

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
                             const std::filesystem::path& out_dir, double val_fraction, std::span<const std::filesystem::path> val_inputs) {
  if (!(val_fraction > 0 && val_fraction < 1)) {
    throw Error("--val-fraction {} is not between 0 and 1: 0.1 keeps the last tenth for validation", val_fraction);
  }
  const Tokenizer tokenizer(tokenizer_path);
  const std::string model = read_text_file(tokenizer_path);
  // Missing or empty files are found before a folder is made.
  const CorpusReader check_inputs(inputs);
  if (!val_inputs.empty()) const CorpusReader check_val_inputs(val_inputs);
  for (const std::filesystem::path& input : inputs)
    for (const std::filesystem::path& val_input : val_inputs)
      if (std::filesystem::equivalent(input, val_input)) throw Error("'{}' is named for training and for validation", val_input.string());
  StagedFolder staging(out_dir);

  const Destination to{tokenizer, staging};
  DatasetSummary summary = val_inputs.empty() ? split_by_fraction(to, inputs, val_fraction) : split_by_files(to, inputs, val_inputs);
  const TokenShard val(staging / kValShardName, TokenShard::Verify::kHeader);
  summary.vocab_size = val.vocab_size();
  summary.token_width_bits = val.token_width_bits();
  summary.bytes_per_token =
      static_cast<double>(summary.train.text_bytes + summary.val.text_bytes) / static_cast<double>(summary.train.tokens + summary.val.tokens);
  write_file_atomically(staging / kTokenizerName, model);
  write_dataset_json(staging / kDatasetJsonName, summary, tokenizer, inputs, val_inputs, val_fraction);
  staging.publish_files(kDatasetNames);
  return summary;
}

}  // namespace lapilli
