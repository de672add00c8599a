#pragma once
// config.json of a Hugging Face model -> our [model].

#include <filesystem>

#include "model/transformer/config.h"

namespace lapilli {

// Of GPT2LMHeadModel or LlamaForCausalLM, with vocab_size set. Throws Error naming file, key and value for another class, a missing key, a value
// of the wrong type, and what our models cannot compute.
ModelConfig read_hugging_face_config(const std::filesystem::path& path);

}  // namespace lapilli
