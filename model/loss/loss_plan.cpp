#include "model/loss/loss_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/memory/tensor.h"

namespace lapilli {

namespace {

constexpr uint64_t kMaxElements = (uint64_t{1} << 31) - 1;      // addressable with 32-bit element indices on every driver
constexpr uint64_t kMaxLogitsBufferFloats = kMaxElements / 2;           // a logits buffer's memory may contain 16-bit elements
constexpr uint32_t kMaxVocab = 1U << 24;                         // column indices exact as floats
constexpr uint32_t kColumnGrain = 512;                           // whole matmul tiles and vocab blocks
constexpr uint32_t kRowGrain = 128;
// Columns of a chunk when gradients are computed: d_x sums over them, and CPU drivers split sums at this depth anyway
// (kCpuDepth of matmul_record.cpp), so that wider chunks would need more memory without a gain.
constexpr uint32_t kMostColumns = 2048;
constexpr uint32_t kFewestRows = 256;                            // of a range that still fills a device
// One matmul of a chunk: 0.2 s on a GPU of half a TFLOP/s.
constexpr double kMaxProductFlops = 1e11;

uint32_t models(const LossShape& shape) { return shape.teacher_dim == 0 ? 1 : 2; }

uint64_t round_down(uint64_t value, uint64_t grain) { return value / grain * grain; }

// The fewest equal parts of at most `most`, each a multiple of `grain` where that leaves the count as it is.
uint32_t equal_parts(uint64_t whole, uint64_t most, uint64_t grain) {
  if (whole <= most) return static_cast<uint32_t>(whole);
  const uint64_t parts = ceil_div(whole, std::max<uint64_t>(most, 1));
  const uint64_t part = ceil_div(whole, parts), rounded = round_up(part, grain);
  return static_cast<uint32_t>(rounded <= most ? rounded : part);
}

// The widest chunk of a range of `rows` whose logits buffer, and whose part of w, can be indexed.
uint64_t widest_indexed(uint64_t rows, const LossShape& shape) {
  const uint64_t most = kMaxLogitsBufferFloats / rows;  // floats of a row, its gap included
  return std::min(padded_row_stride(most) <= most ? most : std::max<uint64_t>(most, 65) - 64, kMaxElements / shape.dim);
}

// The same, with a matmul that is short enough.
uint64_t widest_chunk(uint64_t rows, const LossShape& shape) {
  const double flops_per_column = 2.0 * static_cast<double>(rows) * std::max(shape.dim, shape.teacher_dim);
  const auto columns = static_cast<uint64_t>(std::min(kMaxProductFlops / flops_per_column, 1.0 * kMaxVocab));
  return std::max<uint64_t>(round_down(std::min(columns, widest_indexed(rows, shape)), kColumnGrain), kColumnGrain);
}

// Bytes of the compact x and d_x of a range.
uint64_t copy_bytes(uint64_t rows, const LossShape& shape) { return 8 * rows * shape.dim; }

LossPlan with_row_chunks(LossStrategy strategy, uint64_t row_chunk, uint64_t chunk, const LossShape& shape) {
  LossPlan plan{.strategy = strategy, .row_chunk = static_cast<uint32_t>(row_chunk), .chunk = static_cast<uint32_t>(chunk)};
  plan.models = models(shape);
  plan.row_chunks = static_cast<uint32_t>(ceil_div(shape.tokens, row_chunk));
  plan.chunks = static_cast<uint32_t>(ceil_div(shape.vocab, chunk));
  plan.logits_buffers = plan.chunks;
  return plan;
}

LossPlan plan_kept(LossStrategy strategy, uint64_t row_chunk, const LossShape& shape) {
  const uint64_t widest = std::min<uint64_t>(widest_chunk(row_chunk, shape), kMostColumns);
  return with_row_chunks(strategy, row_chunk, equal_parts(shape.vocab, widest, kColumnGrain), shape);
}

// Rows whose logits and copies fit the budget.
uint64_t fitting_rows(uint64_t budget, const LossShape& shape) {
  return budget / (4 * (padded_row_stride(shape.vocab) * models(shape) + 2 * uint64_t{shape.dim}));
}

bool fits(const LossPlan& plan, uint64_t budget, const LossShape& shape) {
  return plan.logits_buffer_bytes() + copy_bytes(plan.row_chunk, shape) <= budget;
}

LossPlan plan_tokens(const LossOptions& options, uint64_t budget, const LossShape& shape) {
  if (options.chunk != 0) return plan_kept(LossStrategy::tokens, std::min(options.chunk, shape.tokens), shape);
  uint64_t most_rows = std::clamp<uint64_t>(round_down(fitting_rows(budget, shape), kRowGrain), kRowGrain, round_up(shape.tokens, kRowGrain));
  // A few rows less where the chunks of a row, each rounded up, take more than V columns.
  for (;; most_rows -= kRowGrain) {
    const LossPlan plan = plan_kept(LossStrategy::tokens, equal_parts(shape.tokens, most_rows, kRowGrain), shape);
    if (most_rows == kRowGrain || fits(plan, budget, shape)) return plan;
  }
}

LossPlan plan_vocab(const LossOptions& options, uint64_t budget, const LossShape& shape) {
  // The copies get at most half of the budget, and leave room for the narrowest logits buffer.
  const uint64_t narrowest = padded_row_stride(std::min<uint64_t>(options.chunk != 0 ? options.chunk : kColumnGrain, shape.vocab));
  const uint64_t row_bytes = std::max(2 * copy_bytes(1, shape), copy_bytes(1, shape) + 4 * narrowest * models(shape));
  const uint64_t most_rows = std::max<uint64_t>(round_down(budget / row_bytes, kRowGrain), kRowGrain);
  const uint64_t row_chunk = equal_parts(shape.tokens, most_rows, kRowGrain);
  const uint64_t for_logits_buffers = budget - std::min(budget, copy_bytes(row_chunk, shape));
  const uint64_t columns = for_logits_buffers / 4 / models(shape) / row_chunk;  // that can be held
  uint64_t chunk = options.chunk;
  // Four logits buffers by default: the more chunks keep their logits, the fewer are recomputed, but a chunk that is too
  // narrow wastes matmul tiles.
  if (chunk == 0) {
    chunk = std::max<uint64_t>(round_down(columns / 4, kColumnGrain), kColumnGrain);
    chunk = std::min({chunk, widest_chunk(row_chunk, shape), uint64_t{kMostColumns}});
    chunk = equal_parts(shape.vocab, chunk, kColumnGrain);
  }
  chunk = std::min({chunk, uint64_t{shape.vocab}, widest_indexed(row_chunk, shape)});
  LossPlan plan = with_row_chunks(LossStrategy::vocab, row_chunk, chunk, shape);
  plan.logits_buffers = static_cast<uint32_t>(std::clamp<uint64_t>(columns / plan.logits_buffer_stride(), 1, plan.chunks));
  return plan;
}

}  // namespace

uint32_t LossPlan::logits_buffer_stride() const { return static_cast<uint32_t>(padded_row_stride(chunk)); }
uint64_t LossPlan::logits_buffer_bytes() const { return uint64_t{row_chunk} * logits_buffer_stride() * logits_buffers * models * sizeof(float); }

double LossPlan::flops_per_logit_and_dim(uint32_t vocab) const {
  uint64_t again = 0;
  for (uint32_t c = 0; c < chunks; ++c)
    if (recomputes(c)) again += std::min(chunk, vocab - c * chunk);
  return 6 + 2 * static_cast<double>(again) / vocab;
}

std::string LossPlan::to_string() const {
  std::string text = fmt::format("{}: {} {} of {} rows", lapilli::to_string(strategy), row_chunks, row_chunks == 1 ? "range" : "ranges", row_chunk);
  text += fmt::format(", {} {} of {} columns", chunks, chunks == 1 ? "chunk" : "chunks", chunk);
  return logits_buffers == chunks ? text + ", all kept" : text + fmt::format(", {} kept", logits_buffers);
}

LossPlan plan_loss(const LossOptions& options, const LossShape& shape, bool training) {
  CHECK(shape.tokens > 0 && shape.dim > 0 && shape.vocab > 0, "N {}, D {}, V {}", shape.tokens, shape.dim, shape.vocab);
  if (shape.vocab > kMaxVocab)
    throw Error("the vocabulary of {} tokens is larger than the {} that the loss can number: train a smaller tokenizer", shape.vocab, kMaxVocab);
  const uint64_t budget = options.memory_mib * 1024 * 1024;
  if (!training) {
    CHECK(shape.teacher_dim == 0, "a teacher is only for training");
    const uint64_t chunk = options.chunk != 0 && options.strategy == LossStrategy::vocab
                               ? std::min<uint64_t>({options.chunk, shape.vocab, widest_indexed(shape.tokens, shape)})
                               : equal_parts(shape.vocab, widest_chunk(shape.tokens, shape), kColumnGrain);
    LossPlan plan = with_row_chunks(LossStrategy::vocab, shape.tokens, chunk, shape);
    plan.logits_buffers = 0;
    return plan;
  }
  switch (options.strategy) {
    case LossStrategy::full: return plan_kept(LossStrategy::full, shape.tokens, shape);
    case LossStrategy::tokens: return plan_tokens(options, budget, shape);
    case LossStrategy::vocab: return plan_vocab(options, budget, shape);
    case LossStrategy::automatic: break;
  }
  return loss_candidates(options, shape).front();
}

std::vector<LossPlan> loss_candidates(const LossOptions& options, const LossShape& shape) {
  if (options.strategy != LossStrategy::automatic) return {plan_loss(options, shape, true)};
  const uint64_t budget = options.memory_mib * 1024 * 1024;
  LossOptions automatic = options;
  automatic.chunk = 0;
  std::vector<LossPlan> plans;
  const LossPlan full = plan_kept(LossStrategy::full, shape.tokens, shape);
  if (fits(full, budget, shape)) plans.push_back(full);
  const LossPlan tokens = plan_tokens(automatic, budget, shape);
  if (tokens.row_chunks > 1 && tokens.row_chunk >= kFewestRows && fits(tokens, budget, shape)) plans.push_back(tokens);
  // Ranges so short that their logits may stay in a cache.
  for (const uint32_t rows : {1024U, 512U}) {
    automatic.chunk = rows;
    const LossPlan shorter = plan_tokens(automatic, budget, shape);
    if (rows < std::min(shape.tokens, tokens.row_chunk) && fits(shorter, budget, shape)) plans.push_back(shorter);
  }
  automatic.chunk = 0;
  if (plans.empty() || plans.front().strategy != LossStrategy::full) plans.push_back(plan_vocab(automatic, budget, shape));
  return plans;
}

}  // namespace lapilli
