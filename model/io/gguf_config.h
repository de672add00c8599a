#pragma once
// The keys of a GGUF file that say what model it holds: of llama.cpp's architectures "gpt2" and "llama".

#include "model/io/gguf.h"
#include "model/transformer/config.h"

namespace lapilli {

// Writes the keys of the model; `arch` is exportable_arch() of its configuration. Angles that llama3 scaling changes are a tensor, too:
// rope_factors().
void write_gguf_config(GgufWriter& writer, const ModelConfig& model, Arch arch);

// Throws Error naming key and value of what cannot be represented. vocab_size is that of the embedding.
ModelConfig read_gguf_config(const GgufFile& file);

// [E/2] by how much each rotary pair turns slower than theta alone says: the tensor rope_freqs.weight. Empty without scaling.
std::vector<float> rope_factors(const ModelConfig& model);
constexpr const char* kRopeFactors = "rope_freqs.weight";

}  // namespace lapilli
