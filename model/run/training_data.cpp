#include "model/run/training_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "tokenizer/data/dataset.h"

namespace lapilli {

namespace {

// Of a set with a small share: enough that one is certain to count, where those that begin documents do not.
constexpr uint64_t kFewestTargets = 256;

TokenShard open_shard(const std::string& dir, const char* name) {
  const std::filesystem::path path = std::filesystem::path(dir) / name;
  if (!std::filesystem::exists(path))
    throw Error("'{}' does not exist; make it with `lapilli data build --tokenizer T.model -i FILE... -o {}`", path.string(), dir);
  return TokenShard(path);
}

}  // namespace

TrainingData::TrainingData(const DataConfig& config, uint32_t context) {
  const std::vector<DataShare> wanted = config.sets();
  if (wanted.empty()) throw Error("data.dir is not set: name the folder that `lapilli data build` made (--set data.dir=DIR)");
  double total = 0;
  for (const DataShare& set : wanted) total += set.weight;
  for (const auto& [dir, weight] : wanted) {
    sets_.push_back({.dir = dir, .train = open_shard(dir, kTrainShardName), .val = open_shard(dir, kValShardName), .share = weight / total});
    const TrainingSet& set = sets_.back();
    set.val.require_tokenizer(set.train.tokenizer_hash(), "the training split");
    require_one_dataset(dir, set.train, set.val);
    set.train.require_tokenizer(first().train.tokenizer_hash(), fmt::format("the data set '{}'", first().dir));
    set.train.require_vocab_size(first().train.vocab_size(), fmt::format("the data set '{}'", first().dir));
    const uint64_t needed = uint64_t{context} + 1;
    if (set.train.token_count() < needed)
      throw Error("the training split{} has {} tokens, but model.context = {} needs at least {}",
                  wanted.size() > 1 ? fmt::format(" of '{}'", dir) : "", set.train.token_count(), context, needed);
  }
}

std::vector<double> TrainingData::shares() const {
  std::vector<double> shares;
  for (const TrainingSet& set : sets_) shares.push_back(set.share);
  return shares;
}

std::vector<WeightedShard> TrainingData::train_shards() const {
  std::vector<WeightedShard> shards;
  for (const TrainingSet& set : sets_) shards.push_back({.shard = &set.train, .weight = set.share});
  return shards;
}

uint64_t TrainingData::train_tokens() const {
  uint64_t tokens = 0;
  for (const TrainingSet& set : sets_) tokens += set.train.token_count();
  return tokens;
}

uint64_t TrainingData::val_tokens() const {
  uint64_t tokens = 0;
  for (const TrainingSet& set : sets_) tokens += set.val.token_count();
  return tokens;
}

uint64_t TrainingData::fingerprint() const {
  std::vector<uint64_t> words;
  for (const TrainingSet& set : sets_) {
    words.insert(words.end(), {set.train.checksum(), set.val.checksum()});
    if (!is_mix()) continue;
    uint64_t share = 0;
    std::memcpy(&share, &set.share, sizeof share);
    words.push_back(share);
  }
  return hash_bytes(std::as_bytes(std::span(words)));
}

std::string TrainingData::files() const {
  std::string files;
  for (const TrainingSet& set : sets_)
    files += fmt::format("{}'{}' and '{}'", files.empty() ? "" : ", ", set.train.path().string(), set.val.path().string());
  return files;
}

std::vector<EvaluationResult> TrainingData::evaluate(EvaluationPass& pass, uint64_t max_targets, const std::atomic<bool>* stop) const {
  std::vector<EvaluationResult> results;
  for (const TrainingSet& set : sets_) {
    uint64_t targets = max_targets;
    if (is_mix() && max_targets != UINT64_MAX)
      targets = std::max(static_cast<uint64_t>(std::ceil(static_cast<double>(max_targets) * set.share)), kFewestTargets);
    results.push_back(pass.run(set.val, targets, /*stride=*/0, stop));
  }
  return results;
}

NgramReference TrainingData::ngrams() const {
  if (!is_mix()) return ngram_reference(first().train, first().val);
  NgramReference mean;
  for (const TrainingSet& set : sets_) {
    const NgramReference own = ngram_reference(set.train, set.val);
    mean.unigram_entropy += set.share * own.unigram_entropy;
    mean.unigram_cross_entropy += set.share * own.unigram_cross_entropy;
    mean.bigram_cross_entropy += set.share * own.bigram_cross_entropy;
    mean.scored_tokens += own.scored_tokens;
    mean.train_tokens += own.train_tokens;
  }
  return mean;
}

double TrainingData::source_entropy_per_token() const {
  double nats = 0;
  for (const TrainingSet& set : sets_) nats += set.share * set.val.source_entropy_nats() / static_cast<double>(set.val.token_count());
  return nats;
}

}  // namespace lapilli
