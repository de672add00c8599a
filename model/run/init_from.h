#pragma once
// A new run that starts with the weights of another (`train.init_from`): fine-tuning.

#include <vector>

#include "model/transformer/config.h"
#include "tokenizer/data/shard.h"

namespace lapilli {

// The weights of config.train.init_from, a run or a checkpoint, in the order of config's parameter table. The model must be the same but for
// dropout and context: longer or shorter with rotary embedding, shorter with learned positions, of which the first are taken. Errors as
// load_checkpoint(), and one that names each other key of [model] with both values, the tokenizer or the vocabulary that differ.
std::vector<float> initial_weights_from(const Config& config, const TokenShard& train);

}  // namespace lapilli
