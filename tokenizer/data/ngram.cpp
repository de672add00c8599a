#include "tokenizer/data/ngram.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/base/error.h"

namespace lapilli {

namespace {

constexpr size_t kBlockTokens = 1 << 20;

// One distinct bigram, as previous << 32 | next, and how often it was seen.
struct BigramCount {
  uint64_t key = 0;
  uint64_t count = 0;
};

struct TrainCounts {
  std::vector<uint64_t> unigrams;    // [V]
  std::vector<BigramCount> bigrams;  // sorted by key
  uint64_t tokens = 0;
};

// Adds the sorted keys of one block to the sorted totals.
void merge_keys(std::vector<BigramCount>& totals, std::vector<uint64_t>& keys) {
  std::ranges::sort(keys);
  std::vector<BigramCount> merged;
  merged.reserve(totals.size());
  size_t i = 0;
  for (size_t k = 0; k < keys.size();) {
    const uint64_t key = keys[k];
    uint64_t count = 0;
    for (; k < keys.size() && keys[k] == key; ++k) ++count;
    while (i < totals.size() && totals[i].key < key) merged.push_back(totals[i++]);
    if (i < totals.size() && totals[i].key == key) count += totals[i++].count;
    merged.push_back({key, count});
  }
  merged.insert(merged.end(), totals.begin() + static_cast<ptrdiff_t>(i), totals.end());
  totals = std::move(merged);
}

TrainCounts count_train(const TokenShard& train, uint64_t max_tokens) {
  TrainCounts counts;
  counts.tokens = std::min(train.token_count(), std::max<uint64_t>(max_tokens, 2));
  counts.unigrams.assign(train.vocab_size(), 0);
  std::vector<uint64_t> keys;
  std::vector<uint32_t> block(std::min<uint64_t>(kBlockTokens, counts.tokens));
  uint64_t previous = 0;
  // Blocks grow with the table, so that the total cost of merging stays linear in the tokens.
  for (uint64_t begin = 0; begin < counts.tokens; begin += block.size()) {
    block.resize(std::min<uint64_t>(block.size(), counts.tokens - begin));
    train.read(block, begin);
    for (size_t i = 0; i < block.size(); ++i) {
      ++counts.unigrams[block[i]];
      if (begin + i > 0) keys.push_back(previous << 32 | block[i]);
      previous = block[i];
    }
    if (keys.size() >= std::max(2 * counts.bigrams.size(), 4 * kBlockTokens)) {
      merge_keys(counts.bigrams, keys);
      keys.clear();
    }
  }
  merge_keys(counts.bigrams, keys);
  return counts;
}

// Interpolated Kneser-Ney with one discount d (Ney, Essen, Kneser 1994; Chen and Goodman 1999, section 2.7):
//
//   p(w | v) = max(c(v,w) - d, 0) / c(v)  +  d * N(v) / c(v) * p1(w)
//   p1(w)    = (max(M(w) - d, 0) + d * W / V) / M
//
// c(v,w) count of the bigram, c(v) = sum_w c(v,w), N(v) distinct tokens after v, M(w) distinct tokens before w,
// M = sum_w M(w), W tokens with M(w) > 0. A v never seen as a context gives p1(w).
class KneserNeyBigram {
 public:
  explicit KneserNeyBigram(const TrainCounts& counts)
      : bigrams_(counts.bigrams), context_begin_(counts.unigrams.size() + 1, 0), p1_(counts.unigrams.size(), 0.0) {
    uint64_t once = 0, twice = 0;
    std::vector<uint64_t> before(p1_.size(), 0);  // M(w)
    for (const BigramCount& bigram : bigrams_) {
      once += bigram.count == 1;
      twice += bigram.count == 2;
      ++before[bigram.key & 0xFFFFFFFFu];
      ++context_begin_[(bigram.key >> 32) + 1];
    }
    for (size_t v = 1; v < context_begin_.size(); ++v) context_begin_[v] += context_begin_[v - 1];
    // The discount from leave-one-out likelihood, n1 / (n1 + 2 n2), clamped to (0, 1).
    discount_ = once + twice == 0 ? 0.5 : static_cast<double>(once) / static_cast<double>(once + 2 * twice);
    discount_ = std::clamp(discount_, 0.05, 0.95);
    uint64_t seen = 0;
    for (const uint64_t m : before) seen += m > 0;
    const double total = static_cast<double>(bigrams_.size());
    const double floor = discount_ * static_cast<double>(seen) / static_cast<double>(p1_.size());
    for (size_t w = 0; w < p1_.size(); ++w) {
      p1_[w] = (std::max(static_cast<double>(before[w]) - discount_, 0.0) + floor) / total;
    }
    context_counts_.assign(p1_.size(), 0);
    for (const BigramCount& bigram : bigrams_) context_counts_[bigram.key >> 32] += bigram.count;
  }

  double probability(uint32_t previous, uint32_t next) const {
    const uint64_t context = context_counts_[previous];
    if (context == 0) return p1_[next];
    const auto begin = bigrams_.begin() + static_cast<ptrdiff_t>(context_begin_[previous]);
    const auto end = bigrams_.begin() + static_cast<ptrdiff_t>(context_begin_[previous + 1]);
    const uint64_t key = uint64_t{previous} << 32 | next;
    const auto found = std::lower_bound(begin, end, key, [](const BigramCount& b, uint64_t k) { return b.key < k; });
    const double count = found != end && found->key == key ? static_cast<double>(found->count) : 0.0;
    const double kept = discount_ * static_cast<double>(end - begin);
    return (std::max(count - discount_, 0.0) + kept * p1_[next]) / static_cast<double>(context);
  }

 private:
  const std::vector<BigramCount>& bigrams_;
  std::vector<uint64_t> context_begin_;   // [V+1] offsets of the bigrams that begin with v
  std::vector<uint64_t> context_counts_;  // [V] c(v)
  std::vector<double> p1_;                // [V]
  double discount_ = 0;
};

}  // namespace

NgramReference ngram_reference(const TokenShard& train, const TokenShard& val, uint64_t max_train_tokens) {
  val.require_vocab_size(train.vocab_size(), fmt::format("'{}'", train.path().string()));
  for (const TokenShard* shard : {&train, &val}) {
    if (shard->token_count() < 2) {
      throw Error("'{}' has {} token(s): counting bigrams needs at least 2", shard->path().string(), shard->token_count());
    }
  }
  const TrainCounts counts = count_train(train, max_train_tokens);
  const KneserNeyBigram bigram(counts);
  const double smoothed_total = static_cast<double>(counts.tokens + counts.unigrams.size());

  NgramReference reference;
  reference.train_tokens = counts.tokens;
  reference.scored_tokens = val.token_count() - 1;
  std::vector<uint64_t> val_counts(val.vocab_size(), 0);
  double bigram_nats = 0;
  std::optional<uint32_t> previous;
  std::vector<uint32_t> block;
  for (uint64_t position = 0; position < val.token_count(); position += block.size()) {
    block.resize(std::min<uint64_t>(val.token_count() - position, 1 << 16));
    val.read(block, position);
    for (const uint32_t token : block) {
      ++val_counts[token];
      if (previous) bigram_nats -= std::log(bigram.probability(*previous, token));
      previous = token;
    }
  }
  const double n = static_cast<double>(val.token_count());
  for (size_t w = 0; w < val_counts.size(); ++w) {
    if (val_counts[w] == 0) continue;
    const double share = static_cast<double>(val_counts[w]) / n;
    reference.unigram_entropy -= share * std::log(share);
    reference.unigram_cross_entropy -= share * std::log(static_cast<double>(counts.unigrams[w] + 1) / smoothed_total);
  }
  reference.bigram_cross_entropy = bigram_nats / static_cast<double>(reference.scored_tokens);
  return reference;
}

}  // namespace lapilli
