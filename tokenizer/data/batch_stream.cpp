#include "tokenizer/data/batch_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "engine/base/error.h"
#include "engine/base/philox.h"

namespace lapilli {

namespace {

// Separate these random numbers from other uses of the same seed.
constexpr uint32_t kBatchStreamLane = 0x42415443, kShardLane = 0x53484152;

Batch empty_batch(const WindowOptions& options, uint64_t index) {
  const size_t rows = size_t{options.batch} * options.context;
  Batch batch;
  batch.index = index;
  batch.batch = options.batch;
  batch.context = options.context;
  batch.inputs.assign(rows, 0);
  batch.targets.assign(rows, 0);
  batch.weights.assign(rows, 0.0f);
  batch.document_start.assign(rows, 0);
  return batch;
}

// Fills the first `length` positions of window `row` with tokens from `start` on; targets before position
// `first_scored` keep weight 0. REQUIRES start + length < token_count().
void fill_window(Batch& batch, const TokenShard& shard, const WindowOptions& options, uint32_t row, uint64_t start, uint32_t length,
                 uint32_t first_scored) {
  const size_t base = size_t{row} * options.context;
  shard.read(std::span(batch.inputs).subspan(base, length), start);
  shard.read(std::span(batch.targets).subspan(base, length), start + 1);
  const std::span<const uint64_t> documents = shard.document_starts();
  // First document that begins after the window's first token.
  auto document = std::ranges::upper_bound(documents, start);
  uint32_t document_start = 0;
  for (uint32_t t = 0; t < length; ++t) {
    if (document != documents.end() && *document == start + t) {
      document_start = t;
      ++document;
    }
    const bool target_begins_document = document != documents.end() && *document == start + t + 1;
    if (options.document_mask) batch.document_start[base + t] = document_start;
    if (t < first_scored || (options.document_mask && target_begins_document)) continue;
    batch.weights[base + t] = 1.0f;
    batch.valid_targets += 1;
    batch.target_bytes += shard.token_bytes()[batch.targets[base + t]];
  }
}

void check_options(const WindowOptions& options) {
  CHECK(options.batch > 0 && options.context > 0, "batch {}, context {}", options.batch, options.context);
  CHECK(uint64_t{options.batch} * options.context < UINT32_MAX, "batch {}, context {}", options.batch, options.context);
}

}  // namespace

void sort_by_token(Batch& batch) {
  const auto rows = static_cast<uint32_t>(batch.inputs.size());
  std::vector<uint64_t> keys(rows);
  for (uint32_t row = 0; row < rows; ++row) keys[row] = uint64_t{batch.inputs[row]} << 32 | row;
  std::ranges::sort(keys);
  batch.order.resize(rows);
  batch.segment_start.assign(size_t{rows} + 1, rows);
  batch.segment_count = 0;
  for (uint32_t i = 0; i < rows; ++i) {
    batch.order[i] = static_cast<uint32_t>(keys[i]);
    if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32) batch.segment_start[batch.segment_count++] = i;
  }
}

BatchStream::BatchStream(std::span<const WeightedShard> shards, const WindowOptions& options, uint64_t seed) : options_(options), seed_(seed) {
  check_options(options);
  CHECK(!shards.empty(), "no shard");
  double total = 0, sum = 0;
  for (const WeightedShard& part : shards) {
    CHECK(part.weight > 0 && std::isfinite(part.weight), "weight {}", part.weight);
    total += part.weight;
  }
  for (const auto& [shard, weight] : shards) {
    if (shard->token_count() <= options.context) {
      throw Error("'{}' has {} tokens, and a context of {} needs at least {}: give more text or a shorter context", shard->name(),
                  shard->token_count(), options.context, uint64_t{options.context} + 1);
    }
    sum += weight;
    shards_.push_back(shard);
    share_ends_.push_back(sum / total);
  }
  share_ends_.back() = 1;
}

BatchStream::BatchStream(const TokenShard& shard, const WindowOptions& options, uint64_t seed)
    : BatchStream(std::array{WeightedShard{.shard = &shard}}, options, seed) {}

size_t BatchStream::window_shard(uint64_t index, uint32_t row) const {
  const double drawn = philox_uniform(seed_, index, row, kShardLane);
  return static_cast<size_t>(std::ranges::upper_bound(share_ends_, drawn) - share_ends_.begin());
}

// Lemire's multiply-and-reject ("Fast random integer generation in an interval", 2019): no modulo bias.
uint64_t BatchStream::window_start(uint64_t index, uint32_t row) const {
  const uint64_t choices = shards_[window_shard(index, row)]->token_count() - options_.context;
  const uint64_t threshold = (0 - choices) % choices;
  uint32_t attempt = 0;
  while (true) {
    // The row is the lane; the draw index separates this use of the seed from others, and the attempts.
    const auto product = static_cast<unsigned __int128>(philox_bits(seed_, index, row, kBatchStreamLane + attempt++)) * choices;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<uint64_t>(product >> 64);
  }
}

Batch BatchStream::batch(uint64_t index) const {
  Batch batch = empty_batch(options_, index);
  for (uint32_t row = 0; row < options_.batch; ++row) {
    fill_window(batch, *shards_[window_shard(index, row)], options_, row, window_start(index, row), options_.context, 0);
  }
  sort_by_token(batch);
  return batch;
}

EvalWindows::EvalWindows(const TokenShard& shard, const WindowOptions& options, uint32_t stride, uint64_t max_targets)
    : shard_(shard), options_(options), stride_(stride == 0 ? options.context : stride) {
  check_options(options);
  if (shard.token_count() < 2) {
    throw Error("'{}' has {} token(s): evaluation needs at least 2", shard.name(), shard.token_count());
  }
  if (stride_ > options.context) {
    throw Error("a stride of {} would skip tokens: it must not be larger than the context of {}", stride_, options.context);
  }
  target_count_ = std::max<uint64_t>(1, std::min(shard.token_count() - 1, max_targets));
  const uint64_t beyond_first = target_count_ > options.context ? target_count_ - options.context : 0;
  window_count_ = 1 + (beyond_first + stride_ - 1) / stride_;
}

Batch EvalWindows::batch(uint64_t index) const {
  CHECK(index < batch_count(), "batch {} of {}", index, batch_count());
  Batch batch = empty_batch(options_, index);
  for (uint32_t row = 0; row < options_.batch; ++row) {
    const uint64_t window = index * options_.batch + row;
    if (window >= window_count_) break;
    const uint64_t start = window * stride_;
    const auto length = static_cast<uint32_t>(std::min<uint64_t>(options_.context, target_count_ - start));
    fill_window(batch, shard_, options_, row, start, length, window == 0 ? 0 : options_.context - stride_);
  }
  sort_by_token(batch);
  return batch;
}

}  // namespace lapilli
