#pragma once
// Checkpoints as llama.cpp reads them.

#include <filesystem>

#include "model/io/checkpoint.h"
#include "model/io/safetensors.h"

namespace lapilli {

// One GGUF file, complete or none: architecture gpt2 or llama, the weights and the tokenizer. Matrices of `type` (f32, f16 or bf16); vectors and
// learned positions f32, as llama.cpp needs them. Biases that GPT-2 has and the model lacks are zeros. Throws Error as export_safetensors(), and
// when llama.cpp has nothing like the tokenizer.
void export_gguf(const LoadedCheckpoint& checkpoint, const std::filesystem::path& file, TensorType type = TensorType::f32);

}  // namespace lapilli
