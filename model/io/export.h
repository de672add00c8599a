#pragma once
// Checkpoints as other programs read them.

#include <filesystem>
#include <string>
#include <vector>

#include "model/io/checkpoint.h"
#include "model/io/safetensors.h"

namespace lapilli {

struct ExportSettings {
  TensorType type = TensorType::f32;          // of all tensors: f32, f16 or bf16
  uint64_t most_bytes_in_a_file = 4ULL << 30;  // of tensors; more are spread over several files with an index
};

// Hugging Face layout: config.json and the weights for GPT2LMHeadModel or LlamaForCausalLM, and the tokenizer as transformers reads it with
// the SentencePiece model beside; the files become visible together. Biases that GPT-2 has and the model lacks are zeros. Returns the names
// of the files. Throws Error naming the key when the configuration matches neither class, and naming the tensor when f16 cannot hold a value.
std::vector<std::string> export_safetensors(const LoadedCheckpoint& checkpoint, const std::filesystem::path& out_dir,
                                            const ExportSettings& settings = {});

}  // namespace lapilli
