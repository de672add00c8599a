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
#include "tokenizer/data/dataset_writer.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/synth/synth.h"
#include "tokenizer/text/corpus.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

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

// All tokens go to one shard, because where to split is known only then.
DatasetSummary split_by_fraction(const Destination& to, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs,
                                 double val_fraction, const EncodeOptions& options) {
  TokenShardWriter writer(to.folder / kAllTokensName, to.shard_options);
  const EncodedCorpus encoded = encode_corpus(writer, tokenizer, inputs, options);
  writer.finish();
  return split_all_tokens(to, encoded, document_nats(inputs, encoded), val_fraction, names_of(inputs));
}

// One shard of whole texts. `options.always_eos` is set to whether documents end with EOS.
SplitSummary write_whole(const Destination& to, const Tokenizer& tokenizer, const char* name, std::span<const std::filesystem::path> inputs,
                         EncodeOptions& options) {
  TokenShardWriter writer(to.folder / name, to.shard_options);
  const EncodedCorpus encoded = encode_corpus(writer, tokenizer, inputs, options);
  options.always_eos = encoded.has_eos;
  if (writer.token_count() < 2)
    throw Error("{}: the text is too short: {} token(s), and at least 2 are needed", names_of(inputs), writer.token_count());
  const std::vector<double> nats = document_nats(inputs, encoded);
  writer.finish(nats.empty() ? kUnknown : std::accumulate(nats.begin(), nats.end(), 0.0));
  return summarize_shard(to.folder / name, encoded.text_bytes(0, writer.token_count()).lost);
}

DatasetSummary split_by_files(const Destination& to, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs,
                              std::span<const std::filesystem::path> val_inputs, EncodeOptions options) {
  DatasetSummary summary;
  summary.split = SplitKind::own_files;
  summary.train = write_whole(to, tokenizer, kTrainShardName, inputs, options);
  summary.val = write_whole(to, tokenizer, kValShardName, val_inputs, options);
  return summary;
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
                             const std::filesystem::path& out_dir, double val_fraction, std::span<const std::filesystem::path> val_inputs,
                             const EncodeOptions& options) {
  const Tokenizer tokenizer(tokenizer_path);
  const std::string model = read_text_file(tokenizer_path);
  // Missing or empty files are found before a folder is made.
  const CorpusReader check_inputs(inputs);
  if (!val_inputs.empty()) const CorpusReader check_val_inputs(val_inputs);
  require_good_split(inputs, val_inputs, val_fraction);
  StagedFolder staging(out_dir);

  const Destination to{staging, shard_options(tokenizer)};
  DatasetSummary summary = val_inputs.empty() ? split_by_fraction(to, tokenizer, inputs, val_fraction, options)
                                              : split_by_files(to, tokenizer, inputs, val_inputs, options);
  nlohmann::ordered_json about = {
      {"tokenizer", {{"type", tokenizer_type_name(tokenizer.type())}, {"vocab_size", tokenizer.vocab_size()}, {"hash", to_hex(tokenizer.hash())}}}};
  about.update(describe_inputs(inputs, val_inputs, val_fraction));
  finish_dataset(staging, summary, model, about);
  return summary;
}

}  // namespace lapilli
