#pragma once
// Token shards -> batches. Everything here is a pure function of (shard, settings, index): a run resumed at batch k
// gets the same batches as an uninterrupted run.
//
// Shapes: B sequences of T = context tokens, N = B*T rows, row r = b*T + t.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "tokenizer/data/shard.h"

namespace lapilli {

struct Batch {
  uint64_t index = 0;
  uint32_t batch = 0, context = 0;  // B, T
  std::vector<uint32_t> inputs;     // [N]
  std::vector<uint32_t> targets;    // [N] the token after each input
  std::vector<float> weights;       // [N] 1, or 0: no target (padding; across a document boundary when masked)
  std::vector<uint32_t> document_start;                   // [N] first t' of the row's own window that is in the same document; 0 unmasked
  std::vector<uint32_t> order;          // [N] rows sorted by input token, equal tokens in row order
  std::vector<uint32_t> segment_start;  // [N+1] order[segment_start[s] .. segment_start[s+1]) share one input token;
                                        //       entries after segment_count are N
  uint32_t segment_count = 0;           // distinct input tokens
  uint64_t valid_targets = 0;           // rows of weight 1
  uint64_t target_bytes = 0;            // UTF-8 bytes of the targets of weight 1
};

// Fills order, segment_start and segment_count from inputs.
void sort_by_token(Batch& batch);

struct WindowOptions {
  uint32_t batch = 1;          // B
  uint32_t context = 1;        // T
  bool document_mask = false;  // attention stays inside a document; the first token of a document is never a target
};

// A shard among several, and its share of the windows relative to the weights of the others.
struct WeightedShard {
  const TokenShard* shard = nullptr;
  double weight = 1;
};

// Training batches: the start of every window is sampled uniformly, with replacement, from the n - T positions that
// leave room for T inputs and T targets (nanoGPT's recipe). The draw is Philox4x32-10 with the seed as key and (batch
// index, row) as counter, without modulo bias. Thread-safe.
//
// Several shards: each window is first assigned to one, by a draw of its own from the same counter. As windows are drawn
// with replacement, no shard has a position to keep: any batch is computed without those before it, in O(shards) a row, and
// the share of a shard in n windows is off its weight p by sqrt(p(1-p)/n) (a quota would lower that, but would tie the
// order of the shards to their weights). With one shard the windows are the same as without the mix.
class BatchStream {
 public:
  // Error when a shard has fewer than T + 1 tokens. The shards must outlive the stream. REQUIRES at least one, all of one vocabulary, every weight
  // above 0 and finite.
  BatchStream(std::span<const WeightedShard> shards, const WindowOptions& options, uint64_t seed);
  BatchStream(const TokenShard& shard, const WindowOptions& options, uint64_t seed);

  Batch batch(uint64_t index) const;
  // The shard of window `row` of that batch, as its place in the list, and the window's first token.
  size_t window_shard(uint64_t index, uint32_t row) const;
  uint64_t window_start(uint64_t index, uint32_t row) const;

 private:
  std::vector<const TokenShard*> shards_;
  std::vector<double> share_ends_;  // sums of the shares up to each shard's; the last is 1
  WindowOptions options_;
  uint64_t seed_;
};

// Evaluation windows: token 0 is input only, every later token (of the first max_targets) is a target of weight 1
// exactly once, except the first tokens of documents under document_mask. Window k starts at token k*stride; after the
// first window only the last `stride` targets are new and have weight, so each has at least T - stride tokens before
// it. The last window may be short: rows past its end are token 0 with weight 0. Thread-safe.
class EvalWindows {
 public:
  // stride 0 means T: windows without overlap. Errors: fewer than 2 tokens; stride > T. `shard` must outlive the
  // object.
  EvalWindows(const TokenShard& shard, const WindowOptions& options, uint32_t stride = 0, uint64_t max_targets = UINT64_MAX);

  uint64_t window_count() const { return window_count_; }
  uint64_t batch_count() const { return (window_count_ + options_.batch - 1) / options_.batch; }
  uint64_t target_count() const { return target_count_; }  // without regard to document_mask
  // REQUIRES index < batch_count(). Rows after the last window are padding: token 0, weight 0.
  Batch batch(uint64_t index) const;

 private:
  const TokenShard& shard_;
  WindowOptions options_;
  uint32_t stride_;
  uint64_t target_count_ = 0, window_count_ = 0;
};

// Prepares batches ahead of the consumer on a separate thread; at most `depth` are queued. One consumer thread. An
// exception of the maker is rethrown by the next() for that batch.
class Prefetcher {
 public:
  using Maker = std::function<Batch(uint64_t index)>;
  explicit Prefetcher(Maker maker, uint64_t first_index = 0, size_t depth = 2);
  ~Prefetcher();  // waits at most for the batch being made
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  Batch next();               // batch first_index, first_index + 1, ...
  void seek(uint64_t index);  // the following next() returns this batch

 private:
  struct Slot {
    Batch batch;
    std::exception_ptr error;
  };
  void work();

  Maker maker_;
  size_t depth_;
  std::mutex mutex_;
  std::condition_variable has_room_, has_batch_;
  std::deque<Slot> ready_;
  uint64_t next_to_make_;
  uint64_t generation_ = 0;  // incremented by seek(): batches of an older generation are discarded
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lapilli
