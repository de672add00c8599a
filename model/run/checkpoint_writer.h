#pragma once
// Checkpoints written beside training: the state is copied between two steps, hashed and written by a thread of its own.

#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <string>

#include "model/io/training_state.h"
#include "model/transformer/config.h"

namespace lapilli {

class CheckpointWriter {
 public:
  struct Written {
    uint64_t step = 0;
    std::filesystem::path folder;
    double seconds = 0;
    std::string error;  // empty: it is there
  };

  // `sync_log`: called by the thread before a checkpoint becomes visible, so that the log is never behind it.
  CheckpointWriter(std::filesystem::path checkpoints, Config config, std::filesystem::path tokenizer_model, std::function<void()> sync_log);
  // Waits for the one being written.
  ~CheckpointWriter() = default;

  bool is_writing() const { return writing_.valid(); }
  // Begins to write. REQUIRES: nothing is being written.
  void start(TrainingState state);
  // What has ended since; `wait`: blocks until what is being written has ended. Empty when nothing was being written, or it goes on.
  std::optional<Written> take(bool wait);

 private:
  std::filesystem::path checkpoints_, tokenizer_model_;
  Config config_;
  std::function<void()> sync_log_;
  std::future<Written> writing_;
};

}  // namespace lapilli
