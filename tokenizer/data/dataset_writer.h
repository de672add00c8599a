#pragma once
// What `data build` and `data import` share: the split of one shard in two, and dataset.json.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/base/staged_folder.h"
#include "tokenizer/data/corpus_encoder.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/data/shard.h"

namespace lapilli {

inline constexpr const char* kAllTokensName = "all.bin";

// Where the shards of a data set are written, and what all of them have in common.
struct Destination {
  const StagedFolder& folder;
  TokenShardWriter::Options shard_options;
};

// Of a shard that is there.
SplitSummary summarize_shard(const std::filesystem::path& path, uint64_t lost_bytes);

// Splits the shard kAllTokensName of the folder by the rule in dataset.h and removes it. `nats`: -ln p of each of its documents, or empty.
// `names`: of the inputs, for the Error that says that there are too few tokens.
DatasetSummary split_all_tokens(const Destination& to, const EncodedCorpus& encoded, std::vector<double> nats, double val_fraction,
                                const std::string& names);

// The last steps: sets what the summary says of both shards, writes the tokenizer's file and dataset.json, and publishes the folder.
// `about`: entries of dataset.json that say where the tokens come from.
void finish_dataset(StagedFolder& folder, DatasetSummary& summary, std::string_view tokenizer_file, const nlohmann::ordered_json& about);

// {"inputs": [names], "val_inputs": [names]} or, without files for validation, {"inputs": [...], "val_fraction": f}.
nlohmann::ordered_json describe_inputs(std::span<const std::filesystem::path> inputs, std::span<const std::filesystem::path> val_inputs,
                                       double val_fraction);

// Throws Error for what is wrong before anything is read: a fraction outside (0, 1), a file for training and for validation.
void require_good_split(std::span<const std::filesystem::path> inputs, std::span<const std::filesystem::path> val_inputs, double val_fraction);

}  // namespace lapilli
