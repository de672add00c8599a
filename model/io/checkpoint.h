#pragma once
// Checkpoints: with the data set and the run's tuning.json, everything a run needs to continue exactly where it stopped.
//
// A checkpoint is a folder `step-XXXXXXXX` (eight digits) with state.bin, config.toml and its tokenizer (kTokenizerNames), written
// under a temporary name, synced, renamed. Layout of state.bin: model/io/state_file.h. written_by.json beside them has
// version, commit, compiler and build type of the program; it is optional and covered by no checksum.

#include <filesystem>

#include "model/io/training_state.h"
#include "model/transformer/config.h"

namespace lapilli {

struct LoadedCheckpoint {
  std::filesystem::path folder;
  Config config;  // with model.vocab_size set
  TrainingState state;
  std::string commit = {};  // of the program that wrote it; empty: not known
};

// Writes parent/step-XXXXXXXX with a copy of the file `tokenizer` and returns its path. Then removes all but the newest
// train.keep complete checkpoints of `parent` (0: keeps all) and, with train.keep_best, that of state.best_step; the one just written
// always stays. Replaces a checkpoint of the same step. Removes unfinished checkpoints of crashed runs. Errors change nothing. Equal
// states give equal bytes, except for written_by.json.
std::filesystem::path save_checkpoint(const std::filesystem::path& parent, const Config& config, const TrainingState& state,
                                      const std::filesystem::path& tokenizer);

// `path` is a checkpoint folder, a run folder (its newest complete checkpoint is taken), or a checkpoints folder.
// Errors, each naming the file: missing, truncated, corrupt, another version, shapes that do not match the
// configuration.
LoadedCheckpoint load_checkpoint(const std::filesystem::path& path);

// Removes what crashed runs left unfinished in the folder of checkpoints.
void remove_unfinished_checkpoints(const std::filesystem::path& parent);

// parent/step-XXXXXXXX, whether it exists or not.
std::filesystem::path checkpoint_folder(const std::filesystem::path& parent, uint64_t step);

// Folder of the newest checkpoint in a run folder or checkpoints folder whose files all exist, state.bin with the right
// length (load_checkpoint verifies checksums); empty when there is none.
std::filesystem::path find_latest_checkpoint(const std::filesystem::path& path);

}  // namespace lapilli
