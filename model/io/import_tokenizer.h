#pragma once
// The tokenizer of a model that is imported, with as many tokens as the model has.

#include <cstdint>
#include <filesystem>
#include <string>

namespace lapilli {

// The bytes of the tokenizer's file in the folder (tokenizer_in()), as they are if they fit: else with unused pieces up to `vocab_size`, which
// models are padded to; and a tokenizer.json whose end-of-text token has none of the usual names gets it from the eos_token_id of
// config.json. Throws Error where there is none, where it cannot be used, and where it has more tokens than the model.
std::string import_tokenizer(const std::filesystem::path& folder, uint32_t vocab_size);

}  // namespace lapilli
