#include "tokenizer/data/dataset_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"

namespace lapilli {

namespace {

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

// Tokens [begin, end) of `all` -> a separate shard, with its documents. `nats`: of each document of `all`, or empty.
SplitSummary write_split(const std::filesystem::path& path, const TokenShard& all, const EncodedCorpus& encoded, TokenShardWriter::Options options,
                         uint64_t begin, uint64_t end, std::span<const double> nats) {
  TokenShardWriter writer(path, std::move(options));
  std::vector<uint32_t> block;
  double split_nats = nats.empty() ? std::numeric_limits<double>::quiet_NaN() : 0;
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
  return summarize_shard(path, bytes.lost);
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

}  // namespace

SplitSummary summarize_shard(const std::filesystem::path& path, uint64_t lost_bytes) {
  const TokenShard shard(path, TokenShard::Verify::kHeader);
  return {.tokens = shard.token_count(),
          .documents = shard.document_starts().size(),
          .text_bytes = shard.text_bytes(),
          .lost_bytes = lost_bytes,
          .source_entropy_nats = shard.source_entropy_nats(),
          .checksum = shard.checksum()};
}

DatasetSummary split_all_tokens(const Destination& to, const EncodedCorpus& encoded, std::vector<double> nats, double val_fraction,
                                const std::string& names) {
  const TokenShard all(to.folder / kAllTokensName, TokenShard::Verify::kHeader);
  const uint64_t n = all.token_count();
  const uint64_t split = n == 0 ? 0 : split_position(all, val_fraction);
  if (split < 2 || n - split < 2) {
    throw Error(
        "{}: the text is too short to split: {} tokens in {} document(s) leave {} for training and {} for "
        "validation, and each needs at least 2; give more text or another --val-fraction than {}",
        names, n, all.document_starts().size(), split, n - split, val_fraction);
  }
  DatasetSummary summary;
  summary.split = std::ranges::binary_search(all.document_starts(), split) ? SplitKind::between_documents : SplitKind::inside_a_document;
  if (summary.split == SplitKind::inside_a_document) nats.clear();
  summary.train = write_split(to.folder / kTrainShardName, all, encoded, to.shard_options, 0, split, nats);
  summary.val = write_split(to.folder / kValShardName, all, encoded, to.shard_options, split, n, nats);
  std::filesystem::remove(to.folder / kAllTokensName);
  return summary;
}

nlohmann::ordered_json describe_inputs(std::span<const std::filesystem::path> inputs, std::span<const std::filesystem::path> val_inputs,
                                       double val_fraction) {
  nlohmann::ordered_json json;
  if (val_inputs.empty()) json["val_fraction"] = val_fraction;
  for (const std::filesystem::path& input : inputs) json["inputs"].push_back(input.filename().string());
  for (const std::filesystem::path& input : val_inputs) json["val_inputs"].push_back(input.filename().string());
  return json;
}

void require_good_split(std::span<const std::filesystem::path> inputs, std::span<const std::filesystem::path> val_inputs, double val_fraction) {
  if (!(val_fraction > 0 && val_fraction < 1)) {
    throw Error("--val-fraction {} is not between 0 and 1: 0.1 keeps the last tenth for validation", val_fraction);
  }
  for (const std::filesystem::path& input : inputs)
    for (const std::filesystem::path& val_input : val_inputs)
      if (std::filesystem::equivalent(input, val_input)) throw Error("'{}' is named for training and for validation", val_input.string());
}

void finish_dataset(StagedFolder& folder, DatasetSummary& summary, std::string_view tokenizer_file, const nlohmann::ordered_json& about) {
  const TokenShard val(folder / kValShardName, TokenShard::Verify::kHeader);
  summary.vocab_size = val.vocab_size();
  summary.token_width_bits = val.token_width_bits();
  summary.bytes_per_token =
      static_cast<double>(summary.train.text_bytes + summary.val.text_bytes) / static_cast<double>(summary.train.tokens + summary.val.tokens);
  nlohmann::ordered_json json = {{"format", "lapilli data set"},
                                 {"version", 1},
                                 {"tokenizer", nlohmann::ordered_json::object()},  // which of these come first
                                 {"token_width_bits", summary.token_width_bits},
                                 {"bytes_per_token", summary.bytes_per_token},
                                 {"split", to_string(summary.split)},
                                 {"train", to_json(summary.train)},
                                 {"val", to_json(summary.val)}};
  json.update(about);
  write_file_atomically(folder / tokenizer_file_name(tokenizer_file), tokenizer_file);
  write_file_atomically(folder / kDatasetJsonName, json_text(json, 2) + "\n");
  folder.publish_files(kDatasetNames);
}

}  // namespace lapilli
