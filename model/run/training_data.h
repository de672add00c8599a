#pragma once
// What a run is trained and validated on: the data set data.dir, or those of data.mix, each with a share of the sequences.

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "model/train/evaluation.h"
#include "model/transformer/config.h"
#include "tokenizer/data/batch_stream.h"
#include "tokenizer/data/ngram.h"

namespace lapilli {

struct TrainingSet {
  std::string dir;  // as the configuration names it
  TokenShard train, val;
  double share = 1;  // of the sequences; those of all sets sum to 1
};

class TrainingData {
 public:
  // Errors: neither key is set, a folder is missing or not one data set, sets of different tokenizers, a training split with fewer than
  // context + 1 tokens.
  TrainingData(const DataConfig& config, uint32_t context);

  const std::vector<TrainingSet>& sets() const { return sets_; }
  // Tokenizer and vocabulary are those of all.
  const TrainingSet& first() const { return sets_.front(); }
  bool is_mix() const { return sets_.size() > 1; }
  std::vector<double> shares() const;
  std::vector<WeightedShard> train_shards() const;
  uint64_t train_tokens() const;
  uint64_t val_tokens() const;
  // As one number. One set has the same with data.dir as with data.mix; the order of several and their shares count.
  uint64_t fingerprint() const;
  // "'a/train.bin' and 'a/val.bin'".
  std::string files() const;

  // Each set's validation split, for mixed() with shares(): `max_targets`, unless it is UINT64_MAX, is divided by the shares.
  std::vector<EvaluationResult> evaluate(EvaluationPass& pass, uint64_t max_targets, const std::atomic<bool>* stop = nullptr) const;
  // The mean by shares of each set's own baselines. Knowing the set, they are below those of one n-gram model of the mix.
  NgramReference ngrams() const;
  double source_entropy_per_token() const;  // mean by shares; NaN unless every set is synthetic

 private:
  std::vector<TrainingSet> sets_;
};

}  // namespace lapilli
