#pragma once
// Continuing a run: the same model, on the same stream of the same data.

#include <string>
#include <vector>

#include "model/io/checkpoint.h"
#include "tokenizer/data/shard.h"

namespace lapilli {

// What a run is trained and evaluated on, as one number.
uint64_t data_fingerprint(const TokenShard& train, const TokenShard& val);

// Throws Error naming each key with both values, or the file, where `config` or the data make another run of it than `checkpoint` is of.
// Returns the other keys that differ, as "optim.lr = 0.001 (0.002 until now)".
std::vector<std::string> require_same_run(const LoadedCheckpoint& checkpoint, const Config& config, const TokenShard& train, const TokenShard& val);

}  // namespace lapilli
