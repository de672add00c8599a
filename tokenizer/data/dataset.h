#pragma once
// `lapilli data build`: texts -> a data set folder with train.bin, val.bin (token shards), the tokenizer (kTokenizerNames)
// and dataset.json (the same information in readable form).
//
// Split, with n tokens in all and fraction f; validation is the end of the text:
//   one document       by position: the first floor((1-f)*n) tokens for training, the rest for validation
//   several documents  between two documents, at the boundary nearest to token floor((1-f)*n) of those that leave each part between half
//                      and twice the tokens wanted for it. Without one, inside the document that holds that token, exactly there; that
//                      document counts in both parts
//   files for validation  their whole text, and f is not used
//
// A corpus from `corpus synth` has side files with the exact -ln p of every story; when all inputs have them, both
// shards contain the exact source entropy of their text. If a document is cut, its entropy is not known for its parts: neither shard has one.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "tokenizer/data/corpus_encoder.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

inline constexpr const char* kTrainShardName = "train.bin";
inline constexpr const char* kValShardName = "val.bin";
inline constexpr const char* kDatasetJsonName = "dataset.json";
inline constexpr const char* kDatasetNames[] = {kTrainShardName, kValShardName, kTokenizerNames[0], kTokenizerNames[1], kDatasetJsonName};

enum class SplitKind { between_documents, inside_a_document, own_files };
std::string_view to_string(SplitKind kind);  // "between documents": also in dataset.json

struct SplitSummary {
  uint64_t tokens = 0, documents = 0;
  uint64_t text_bytes = 0;         // of the text itself
  uint64_t lost_bytes = 0;         // of these, what the tokens do not decode back to (text_loss.h)
  double source_entropy_nats = 0;  // NaN unless synthetic
  uint64_t checksum = 0;           // TokenShard::checksum()
};

struct DatasetSummary {
  SplitSummary train, val;
  SplitKind split = SplitKind::between_documents;
  uint32_t vocab_size = 0;
  uint32_t token_width_bits = 0;
  double bytes_per_token = 0;
};

// Throws Error unless the folder is whole: its dataset.json is there and names the checksums of these two shards.
void require_one_dataset(const std::filesystem::path& dir, const TokenShard& train, const TokenShard& val);

// The bytes written do not depend on the number of threads.
// `val_inputs`: texts for validation; none: the end of `inputs`, by `val_fraction`. Memory use does not depend on the size of the inputs, except
// for 8 bytes (synthetic: 16) per document. Needs twice the shards' size on disk while it runs. Errors: those of encode_corpus() and Tokenizer; a
// fraction outside (0, 1); a split with fewer than 2 tokens. An error leaves the folder unchanged; the files become visible together, and where
// the folder holds other files, too, a crash leaves none of the parts that require_one_dataset() would take for a whole.
DatasetSummary build_dataset(const std::filesystem::path& tokenizer_path, std::span<const std::filesystem::path> inputs,
                             const std::filesystem::path& out_dir, double val_fraction = 0.1, std::span<const std::filesystem::path> val_inputs = {},
                             const EncodeOptions& options = {});

}  // namespace lapilli
