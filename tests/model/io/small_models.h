#pragma once
// Two models of a few thousand parameters with the byte tokenizer, for tests of files.

#include <random>

#include "model/io/checkpoint.h"
#include "model/transformer/parameters.h"
#include "tests/common/files.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli::testing {

inline Config small_gpt2_config() {
  Config config;
  config.model = {.layers = 2, .heads = 2, .kv_heads = 2, .dim = 8, .ffn_dim = 20, .context = 6, .vocab_size = 259};
  return config;
}

inline Config small_llama_config() {
  Config config;
  config.model = {.arch = Arch::llama, .layers = 2, .heads = 4, .kv_heads = 2, .dim = 16, .ffn_dim = 21, .context = 7};
  apply_preset(config.model);
  config.model.vocab_size = 259;
  return config;
}

// Both families with every key that other programs know.
inline std::vector<Config> small_variants() {
  std::vector<Config> variants{small_gpt2_config(), small_gpt2_config(), small_llama_config(), small_llama_config(), small_llama_config()};
  variants[1].model.tie_embeddings = false;
  variants[1].model.norm_eps = 1e-6F;
  variants[3].model.head_size = 10;
  variants[3].model.bias = true;
  variants[3].model.rope_theta = 500000;
  variants[3].model.rope_scaling = {.kind = RopeScalingKind::llama3, .factor = 32, .original_context = 4096};
  variants[4].model.tie_embeddings = true;
  variants[4].model.kv_heads = 4;
  return variants;
}

// With random weights, and a byte tokenizer that is made in `folder`.
inline LoadedCheckpoint random_checkpoint(const TempDir& dir, const Config& config) {
  const fs::path folder = dir / "checkpoint";
  if (!fs::exists(folder)) {
    const fs::path text = dir.write("text", "a few words");
    fs::create_directories(folder);
    train_tokenizer({.type = TokenizerType::kByte}, {&text, 1}, folder / "tokenizer.model");
  }
  LoadedCheckpoint checkpoint{.folder = folder, .config = config, .state = {}};
  checkpoint.state.values.resize(ParameterTable(config.model).count());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.3F);
  for (float& value : checkpoint.state.values) value = normal(random);
  return checkpoint;
}

}  // namespace lapilli::testing
