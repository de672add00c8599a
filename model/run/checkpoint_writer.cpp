#include "model/run/checkpoint_writer.h"

#include <chrono>
#include <utility>

#include "engine/base/error.h"
#include "model/io/checkpoint.h"

namespace lapilli {

CheckpointWriter::CheckpointWriter(std::filesystem::path checkpoints, Config config, std::filesystem::path tokenizer_model,
                                   std::function<void()> sync_log)
    : checkpoints_(std::move(checkpoints)),
      tokenizer_model_(std::move(tokenizer_model)),
      config_(std::move(config)),
      sync_log_(std::move(sync_log)) {}

void CheckpointWriter::start(TrainingState state) {
  CHECK(!is_writing(), "a checkpoint is being written");
  writing_ = std::async(std::launch::async, [this, state = std::move(state)] {
    const auto begin = std::chrono::steady_clock::now();
    Written written{.step = state.step, .folder = {}, .seconds = 0, .error = {}};
    try {
      sync_log_();
      written.folder = save_checkpoint(checkpoints_, config_, state, tokenizer_model_);
    } catch (const std::exception& error) {  // a full disk, or no memory: training goes on
      written.error = error.what();
    }
    written.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return written;
  });
}

std::optional<CheckpointWriter::Written> CheckpointWriter::take(bool wait) {
  if (!is_writing()) return std::nullopt;
  if (!wait && writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
  return writing_.get();
}

}  // namespace lapilli
