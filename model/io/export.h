#pragma once
// Checkpoints as other programs read them.

#include <filesystem>

#include "model/io/checkpoint.h"

namespace lapilli {

// Hugging Face layout: config.json and model.safetensors (f32) for GPT2LMHeadModel or LlamaForCausalLM, tokenizer.model
// beside them; each file is complete or absent. Biases that GPT-2 has and the model lacks are zeros. Throws Error
// naming the key when the configuration matches neither class.
inline constexpr const char* kExportedNames[] = {"model.safetensors", "tokenizer.model", "config.json"};
void export_safetensors(const LoadedCheckpoint& checkpoint, const std::filesystem::path& out_dir);

}  // namespace lapilli
