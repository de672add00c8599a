#pragma once
// Continuing a run: the same model, on the same stream of the same data.

#include <string>
#include <vector>

#include "model/io/checkpoint.h"
#include "model/run/training_data.h"

namespace lapilli {

// Throws Error naming each key with both values, or the file, where `config` or the data make another run of it than `checkpoint` is of.
// Returns the other keys that differ, as "optim.lr = 0.001 (0.002 until now)".
std::vector<std::string> require_same_run(const LoadedCheckpoint& checkpoint, const Config& config, const TrainingData& data);

}  // namespace lapilli
