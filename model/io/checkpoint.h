#pragma once
// Checkpoints: everything a run needs to go on as if it had never stopped.
//
// A checkpoint is a folder `step-XXXXXXXX` (eight digits) with state.bin, config.toml and tokenizer.model, written
// under a temporary name, synced, renamed. Layout of state.bin: model/io/state_file.h.

#include <filesystem>
#include <string>
#include <vector>

#include "model/transformer/config.h"
#include "model/loss/loss_scale.h"
#include "model/transformer/parameters.h"

namespace lapilli {

struct TrainingState {
  uint64_t step = 0;            // optimizer steps done
  uint64_t next_batch = 0;      // index of the next micro-batch of the stream
  uint64_t seed = 0;            // of data order, dropout and initialisation: with step and next_batch, all randomness
  uint64_t tokens = 0;          // valid target tokens trained on
  LossScaleState loss_scale = {};  // f16
  double best_val_loss = 0;     // nats; infinity before the first evaluation
  uint64_t tokenizer_hash = 0;
  std::vector<float> values;    // flat, as the table says
  std::vector<float> first_moment, second_moment;  // the same; or empty: no optimizer
};

struct LoadedCheckpoint {
  std::filesystem::path folder;
  Config config;  // with model.vocab_size set
  TrainingState state;
};

// Writes parent/step-XXXXXXXX and returns its path; `tokenizer_model` is copied in. Afterwards only the newest `keep`
// complete checkpoints of `parent` remain (0: all), the one just written always. One of the same step is replaced. What
// dead runs left unfinished is removed. Errors leave what was there untouched. Equal states give equal bytes.
std::filesystem::path save_checkpoint(const std::filesystem::path& parent, const Config& config,
                                      const TrainingState& state, const std::filesystem::path& tokenizer_model,
                                      uint32_t keep);

// `path` is a checkpoint folder, a run folder (its newest complete checkpoint is taken), or a checkpoints folder.
// Errors, each naming the file: missing, cut short, a byte changed, another version, shapes that do not match the
// configuration.
LoadedCheckpoint load_checkpoint(const std::filesystem::path& path);

// Folder of the newest checkpoint in a run folder or checkpoints folder whose files are all there and as long as they
// should be (checksums are left to load_checkpoint); empty when there is none.
std::filesystem::path find_latest_checkpoint(const std::filesystem::path& path);

// Hugging Face layout: config.json and model.safetensors (f32) for GPT2LMHeadModel or LlamaForCausalLM, tokenizer.model
// beside them; each written whole or not at all. Biases that GPT-2 has and the model has not are zeros. Throws Error
// naming the key when the configuration is neither.
void export_safetensors(const LoadedCheckpoint& checkpoint, const std::filesystem::path& out_dir);

}  // namespace lapilli
