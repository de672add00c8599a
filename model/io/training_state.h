#pragma once
// What a run changes as it trains: with the configuration and the data set, all that it needs to continue.

#include <cstdint>
#include <vector>

#include "model/loss/loss_scale.h"

namespace lapilli {

// The recent course of a value, for SpikeDetector: exponentially weighted.
struct TrendState {
  double mean = 0, variance = 0;
  uint64_t count = 0;  // values so far
  bool operator==(const TrendState&) const = default;
};

struct TrainingState {
  uint64_t step = 0;            // optimizer steps done, skipped ones included
  uint64_t updates = 0;         // those that changed the parameters: what Adam's bias correction counts
  uint64_t next_batch = 0;      // index of the next micro-batch of the stream
  uint64_t seed = 0;            // of data order, dropout and initialisation: with step and next_batch, all randomness
  uint64_t tokens = 0;          // valid target tokens trained on
  LossScaleState loss_scale = {};  // f16
  double best_val_loss = 0;     // nats; infinity before the first evaluation
  uint64_t best_step = 0;       // when it was measured
  uint64_t evaluated_step = 0;  // of the newest evaluation; 0: none
  TrendState loss_trend = {}, norm_trend = {};
  uint32_t not_finite_in_a_row = 0;  // steps skipped for it, the newest ones
  uint64_t tokenizer_hash = 0;  // XXH3 of the model file that the data was tokenized with
  uint64_t data_fingerprint = 0;  // of both shards (data_fingerprint()); 0: not known
  std::vector<float> values;    // flat, in the order of the parameter table
  std::vector<float> first_moment, second_moment;  // the same; empty without optimizer state
};

}  // namespace lapilli
