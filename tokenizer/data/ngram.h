#pragma once
// Losses of n-gram models on the validation tokens: the baselines printed with a run's initial loss.

#include <cstdint>

#include "tokenizer/data/shard.h"

namespace lapilli {

struct NgramReference {
  // Entropy of the validation tokens' frequencies, -sum f ln f, in nats: the lower bound for any unigram model on them.
  double unigram_entropy = 0;
  // Mean -ln p of the validation tokens under the train split's frequencies with add-one smoothing.
  double unigram_cross_entropy = 0;
  // Mean -ln p(token | the token before it), over every validation token but the first, under an interpolated
  // Kneser-Ney bigram model of the train split; every vocabulary entry has a positive probability, and they sum to 1.
  double bigram_cross_entropy = 0;
  uint64_t scored_tokens = 0;  // of the bigram: validation tokens - 1
  uint64_t train_tokens = 0;   // train tokens counted
};

// Counts at most the first `max_train_tokens` of the train split. Memory: about 50 bytes per distinct bigram plus a few
// bytes per vocabulary entry. Errors: shards of different vocabularies; a split with fewer than 2 tokens.
NgramReference ngram_reference(const TokenShard& train, const TokenShard& val, uint64_t max_train_tokens = 64ull << 20);

}  // namespace lapilli
