#pragma once
// What a run changes as it trains: with the configuration and the data set, all that it needs to continue.

#include <cstdint>
#include <vector>

#include "model/loss/loss_scale.h"

namespace lapilli {

struct TrainingState {
  uint64_t step = 0;            // optimizer steps done
  uint64_t next_batch = 0;      // index of the next micro-batch of the stream
  uint64_t seed = 0;            // of data order, dropout and initialisation: with step and next_batch, all randomness
  uint64_t tokens = 0;          // valid target tokens trained on
  LossScaleState loss_scale = {};  // f16
  double best_val_loss = 0;     // nats; infinity before the first evaluation
  uint64_t tokenizer_hash = 0;  // XXH3 of the model file that the data was tokenized with
  std::vector<float> values;    // flat, in the order of the parameter table
  std::vector<float> first_moment, second_moment;  // the same; empty without optimizer state
};

}  // namespace lapilli
