#pragma once
// `lapilli data import`: tokens made elsewhere -> a data set folder like that of dataset.h.
//
// The files follow each other in one stream; a token equal to EOS ends a document, and without EOS the stream is one document. It is split like
// texts. With a tokenizer the vocabulary, the bytes of each token and EOS come from it. Without one, nothing is known of the tokens' text: each
// stands for 0 bytes, and tokenizer.model is a line that says so, the same for equal vocabularies. Training needs no more.

#include <filesystem>
#include <optional>
#include <span>

#include "tokenizer/data/dataset.h"
#include "tokenizer/data/token_file.h"

namespace lapilli {

struct ImportOptions {
  TokenFormat format = TokenFormat::kNanogpt;
  uint32_t vocab_size = 0;              // 0: the tokenizer's
  std::filesystem::path tokenizer;      // empty: not known
  std::optional<uint32_t> eos_id = {};  // none: the tokenizer's, if there is one
  double val_fraction = 0.1;
};

// Errors: those of TokenFile and Tokenizer; a vocabulary of another size than the tokenizer's; an EOS outside of it; too few tokens. An error
// leaves the folder unchanged.
DatasetSummary import_dataset(std::span<const std::filesystem::path> inputs, const ImportOptions& options, const std::filesystem::path& out_dir,
                              std::span<const std::filesystem::path> val_inputs = {});

}  // namespace lapilli
