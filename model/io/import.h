#pragma once
// Models of other programs as runs.

#include <filesystem>

namespace lapilli {

struct Imported {
  uint64_t parameters = 0;
  uint32_t vocab_size = 0;
};

// Makes the run folder `run` of `source`:
//   a folder in Hugging Face's layout   config.json of GPT2LMHeadModel or LlamaForCausalLM, model.safetensors or several files with their
//                                       index (f32, f16 or bf16), tokenizer.model or else tokenizer.json, padded to the model's vocabulary
//   a GGUF file                         architectures gpt2 and llama, tensors of the types of GgmlType, its tokenizer
// The run has config.toml, the tokenizer, and a checkpoint of step 0 without optimizer state; it becomes visible at once, complete. At most the
// model and its largest tensor, twice, are in memory. Throws Error naming file and tensor or key: what is missing, has another shape, belongs
// to no parameter, or cannot be represented; and when `run` exists and is not empty.
Imported import_model(const std::filesystem::path& source, const std::filesystem::path& run);

}  // namespace lapilli
