#include "model/loss.h"

#include <algorithm>

#include "model/matmul.h"

namespace lapilli {

namespace {

constexpr uint64_t kMaxSlabElements = (uint64_t{1} << 31) - 1;  // what 32-bit element indices address on every driver
constexpr uint32_t kChunkGrain = 256;                            // whole matmul tiles
constexpr uint32_t kMaxVocab = 1U << 24;                         // indices exact as floats

}  // namespace

LossPlan plan_loss(const LossOptions& options, uint32_t tokens, uint32_t vocab, bool training) {
  CHECK(tokens > 0 && vocab > 0 && vocab <= kMaxVocab, "tokens {}, vocabulary {}", tokens, vocab);
  const uint64_t budget = options.memory_mib * 1024 * 1024 / sizeof(float);  // elements
  const uint64_t whole = uint64_t{tokens} * vocab;
  LossPlan plan;
  plan.strategy = options.strategy;
  if (plan.strategy == LossStrategy::automatic)
    plan.strategy = whole <= std::min(budget, kMaxSlabElements) ? LossStrategy::full : LossStrategy::vocab;
  if (plan.strategy == LossStrategy::full) {
    if (whole > kMaxSlabElements)
      throw Error("[loss] strategy \"full\" would hold {} x {} logits; use \"vocab\"", tokens, vocab);
    plan.chunk = vocab;
    return plan;
  }
  uint64_t chunk = options.chunk;
  // Four slabs by default: the more chunks keep their logits, the fewer are multiplied twice, but a chunk that is too
  // narrow wastes matmul tiles.
  if (chunk == 0) chunk = std::max<uint64_t>(budget / tokens / 4 / kChunkGrain, 1) * kChunkGrain;
  chunk = std::min({chunk, uint64_t{vocab}, std::max<uint64_t>(kMaxSlabElements / tokens, 1)});
  plan.chunk = static_cast<uint32_t>(chunk);
  plan.chunks = static_cast<uint32_t>(ceil_div(vocab, chunk));
  const uint64_t fitting = std::max<uint64_t>(budget / (uint64_t{tokens} * chunk), 1);
  plan.slabs = training ? static_cast<uint32_t>(std::min<uint64_t>(fitting, plan.chunks)) : 1;
  return plan;
}

LossSums read_loss_sums(std::span<const float> words) {
  CHECK(words.size() >= args::kSumCount);
  const auto at = [&](uint32_t index) { return static_cast<double>(words[index]); };
  return {.weight = at(args::kSumWeight),
          .nll = at(args::kSumNll),
          .objective = at(args::kSumObjective),
          .hits = at(args::kSumHits),
          .z_loss = at(args::kSumZLoss),
          .rows = at(args::kSumRows)};
}

void require_good_targets(std::span<const uint32_t> status, uint32_t vocab, const std::string& what) {
  if (status[args::kStatusBadTargets] == 0) return;
  throw Error("{}: the target of row {} is {}, but the vocabulary has {} tokens ({} such rows); the data was made for "
              "another tokenizer",
              what, status[args::kStatusBadRow], status[args::kStatusBadId], vocab, status[args::kStatusBadTargets]);
}

std::optional<uint32_t> non_finite_row(std::span<const uint32_t> status) {
  const uint32_t row = status[args::kStatusNonFiniteRow];
  return row == args::kNoRow ? std::nullopt : std::optional(row);
}

LinearCrossEntropy::LinearCrossEntropy(Arena& arena, uint32_t tokens, uint32_t dim, uint32_t vocab,
                                       const LossOptions& options, bool training)
    : tokens_(tokens), dim_(dim), vocab_(vocab), options_(options), plan_(plan_loss(options, tokens, vocab, training)) {
  const auto reserve = [&](Shape shape, DType dtype) {
    scratch_bytes_ += shape.elements() * size_bytes(dtype);
    return reserve_tensor(arena, shape, "loss", dtype);
  };
  rows_ = reserve({tokens}, DType::u32);
  position_ = reserve({tokens}, DType::u32);
  live_ = reserve({1}, DType::u32);
  state_ = reserve({tokens, args::kRowState}, DType::f32);
  x_ = reserve({tokens, dim}, DType::f32);
  if (training) d_x_ = reserve({tokens, dim}, DType::f32);
  slabs_ = reserve({plan_.slabs, tokens, plan_.chunk}, DType::f32);
}

uint32_t LinearCrossEntropy::width(uint32_t chunk_index) const {
  return std::min(plan_.chunk, vocab_ - chunk_index * plan_.chunk);
}

Tensor LinearCrossEntropy::slab(uint32_t chunk_index, uint32_t width) const {
  const uint64_t slab_bytes = uint64_t{tokens_} * plan_.chunk * sizeof(float);
  const uint32_t index = std::min(chunk_index, plan_.slabs - 1);
  return {slabs_.slice().sub(index * slab_bytes, uint64_t{tokens_} * width * sizeof(float)), {tokens_, width}};
}

void LinearCrossEntropy::multiply_chunk(Ops& ops, uint32_t chunk_index, ConstTensor w) {
  const uint32_t columns = width(chunk_index);
  const Program::Scope scope(ops.program, "logits");
  matmul_nt(ops, slab(chunk_index, columns), x_, w.row_range(chunk_index * plan_.chunk, columns), Into::overwrite,
            {.live = live_, .alpha = 1.0F / options_.temperature});
}

void LinearCrossEntropy::forward(Ops& ops, Tensor nll, Tensor sums, Tensor status, ConstTensor x, ConstTensor w,
                                 ConstTensor targets, ConstTensor weights) {
  CHECK(x.rows() == tokens_ && x.cols() == dim_ && w.rows() >= vocab_ && w.cols() == dim_, "x {}, w {}",
        x.shape().to_string(), w.shape().to_string());
  const double n = tokens_, d = dim_;
  {
    const Program::Scope scope(ops.program, "compact");
    ops.program.dispatch(ops.kernel("loss_compact", ops.row_workgroup()),
                         args::LossCompactArgs{.rows = rows_,
                                               .position = position_,
                                               .live = live_,
                                               .status = status,
                                               .targets = targets,
                                               .weights = weights,
                                               .tokens = tokens_,
                                               .vocab = vocab_},
                         1, {.bytes = 16 * n});
    ops.program.dispatch(ops.kernel("loss_gather", ops.row_workgroup()),
                         args::LossGatherArgs{.compact = x_, .x = x, .rows = rows_, .live = live_, .tokens = tokens_, .dim = dim_},
                         tokens_, {.bytes = 8 * n * d});
  }
  for (uint32_t c = 0; c < plan_.chunks; ++c) {
    multiply_chunk(ops, c, w);
    const uint32_t columns = width(c);
    const Program::Scope scope(ops.program, "softmax");
    ops.program.dispatch(ops.kernel("loss_chunk_forward", ops.row_workgroup()),
                         args::LossChunkForwardArgs{.state = state_,
                                                    .logits = slab(c, columns),
                                                    .rows = rows_,
                                                    .live = live_,
                                                    .targets = targets,
                                                    .width = columns,
                                                    .first_column = c * plan_.chunk,
                                                    .softcap = options_.softcap},
                         tokens_, {.bytes = 4 * n * columns});
  }
  const Program::Scope scope(ops.program, "finish");
  ops.program.dispatch(ops.kernel("loss_finish", ops.row_workgroup()),
                       args::LossFinishArgs{.state = state_,
                                            .nll = nll,
                                            .sums = sums,
                                            .status = status,
                                            .rows = rows_,
                                            .position = position_,
                                            .live = live_,
                                            .targets = targets,
                                            .weights = weights,
                                            .tokens = tokens_,
                                            .vocab = vocab_,
                                            .smoothing = options_.label_smoothing,
                                            .z_loss = options_.z_loss},
                       1, {.bytes = 32 * n});
}

void LinearCrossEntropy::backward(Ops& ops, Tensor d_x, Tensor d_w, ConstTensor w, ConstTensor targets, ConstTensor weights,
                                  ConstTensor inverse_weight, Into into_d_w) {
  CHECK(static_cast<bool>(d_x_), "backward of a loss made for evaluation");
  const double n = tokens_, d = dim_;
  const float alpha = 1.0F / options_.temperature;
  // The last chunk's logits are still there: begin with it.
  for (uint32_t i = 0; i < plan_.chunks; ++i) {
    const uint32_t c = plan_.chunks - 1 - i, columns = width(c);
    if (plan_.recomputes(c)) multiply_chunk(ops, c, w);
    const Tensor logits = slab(c, columns);
    {
      const Program::Scope scope(ops.program, "softmax backward");
      ops.program.dispatch(ops.kernel("loss_chunk_backward", ops.row_workgroup()),
                           args::LossChunkBackwardArgs{.logits = logits,
                                                       .state = state_,
                                                       .rows = rows_,
                                                       .live = live_,
                                                       .targets = targets,
                                                       .weights = weights,
                                                       .inverse_weight = inverse_weight,
                                                       .width = columns,
                                                       .first_column = c * plan_.chunk,
                                                       .vocab = vocab_,
                                                       .softcap = options_.softcap,
                                                       .smoothing = options_.label_smoothing,
                                                       .z_loss = options_.z_loss},
                           tokens_, {.bytes = 8 * n * columns});
    }
    const Program::Scope scope(ops.program, "gradients");
    const ConstTensor w_chunk = w.row_range(c * plan_.chunk, columns);
    matmul_nn(ops, d_x_, logits, w_chunk, i == 0 ? Into::overwrite : Into::accumulate, {.live = live_, .alpha = alpha});
    matmul_tn(ops, d_w.row_range(c * plan_.chunk, columns), logits, x_, into_d_w, {.live = live_, .alpha = alpha});
  }
  const Program::Scope scope(ops.program, "scatter");
  ops.program.dispatch(
      ops.kernel("loss_scatter", ops.row_workgroup()),
      args::LossScatterArgs{.d_x = d_x, .d_compact = d_x_, .position = position_, .tokens = tokens_, .dim = dim_},
      tokens_, {.bytes = 8 * n * d});
}

}  // namespace lapilli
