#pragma once
// Small byte-level BPE tokenizers of each splitter, with the ids that the library `tokenizers` makes (tests/torch/make_bpe_goldens.py).

#include <nlohmann/json.hpp>

#include "tests/tokenizer/support.h"

namespace lapilli::testing {

inline constexpr const char* kSplitters[] = {"gpt2", "llama3", "smollm"};

inline const nlohmann::json& byte_bpe_goldens() {
  static const nlohmann::json goldens = nlohmann::json::parse(read_text_file(fs::path(LAPILLI_SOURCE_DIR) / "tests/torch/goldens/byte_bpe.json"));
  return goldens;
}

inline nlohmann::json byte_bpe_json(const std::string& splitter) { return byte_bpe_goldens().at("tokenizers").at(splitter); }

inline Tokenizer make_byte_bpe(const TempDir& dir, const std::string& splitter) {
  return Tokenizer(dir.write(splitter + ".json", byte_bpe_json(splitter).dump()));
}

}  // namespace lapilli::testing
