#pragma once
// Checkpoints: everything a run needs to continue exactly where it stopped.
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
  std::vector<float> values;    // flat, in the order of the parameter table
  std::vector<float> first_moment, second_moment;  // the same; empty without optimizer state
};

struct LoadedCheckpoint {
  std::filesystem::path folder;
  Config config;  // with model.vocab_size set
  TrainingState state;
};

// Writes parent/step-XXXXXXXX with a copy of `tokenizer_model` and returns its path. Then removes all but the newest
// `keep` complete checkpoints of `parent` (0: keeps all); the one just written always stays. Replaces a checkpoint of
// the same step. Removes unfinished checkpoints of crashed runs. Errors change nothing. Equal states give equal bytes.
std::filesystem::path save_checkpoint(const std::filesystem::path& parent, const Config& config,
                                      const TrainingState& state, const std::filesystem::path& tokenizer_model,
                                      uint32_t keep);

// `path` is a checkpoint folder, a run folder (its newest complete checkpoint is taken), or a checkpoints folder.
// Errors, each naming the file: missing, truncated, corrupt, another version, shapes that do not match the
// configuration.
LoadedCheckpoint load_checkpoint(const std::filesystem::path& path);

// Folder of the newest checkpoint in a run folder or checkpoints folder whose files all exist and have the right size
// (load_checkpoint verifies checksums); empty when there is none.
std::filesystem::path find_latest_checkpoint(const std::filesystem::path& path);

// Hugging Face layout: config.json and model.safetensors (f32) for GPT2LMHeadModel or LlamaForCausalLM, tokenizer.model
// beside them; each file is complete or absent. Biases that GPT-2 has and the model lacks are zeros. Throws Error
// naming the key when the configuration matches neither class.
void export_safetensors(const LoadedCheckpoint& checkpoint, const std::filesystem::path& out_dir);

}  // namespace lapilli
