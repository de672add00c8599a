#include "model/loss.h"

#include <algorithm>

namespace lapilli {

LossSums read_loss_sums(std::span<const float> words) {
  CHECK(words.size() >= args::kSumCount);
  const auto at = [&](uint32_t index) { return static_cast<double>(words[index]); };
  return {.weight = at(args::kSumWeight),
          .nll = at(args::kSumNll),
          .objective = at(args::kSumObjective),
          .hits = at(args::kSumHits),
          .z_loss = at(args::kSumZLoss),
          .rows = at(args::kSumRows),
          .teacher_entropy = at(args::kSumTeacherEntropy),
          .teacher_cross_entropy = at(args::kSumTeacherCrossEntropy),
          .teacher_kl = at(args::kSumTeacherKl)};
}

LossSums& LossSums::operator+=(const LossSums& other) {
  weight += other.weight;
  nll += other.nll;
  objective += other.objective;
  hits += other.hits;
  z_loss += other.z_loss;
  rows += other.rows;
  teacher_entropy += other.teacher_entropy;
  teacher_cross_entropy += other.teacher_cross_entropy;
  teacher_kl += other.teacher_kl;
  return *this;
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

namespace {

// Columns one workgroup of a CPU driver goes through before it puts its lanes together (shaders/loss_logits_scalar.glsl).
constexpr uint32_t kScalarStrip = 512;

}  // namespace

LinearCrossEntropy::LinearCrossEntropy(Arena& arena, const DeviceCaps& caps, const LossShape& shape, const LossOptions& options,
                                       const LossPlan& plan, const std::optional<MatmulKernel>& force)
    : shape_(shape), options_(options), plan_(plan), caps_(caps), kernel_(force ? *force : matmul_kernel(caps, Precision::f32)) {
  const auto reserve = [&](Shape tensor_shape, DType dtype) {
    scratch_bytes_ += tensor_shape.elements() * size_bytes(dtype);
    return reserve_tensor(arena, tensor_shape, "loss", dtype);
  };
  rows_ = reserve({shape.tokens}, DType::u32);
  position_ = reserve({shape.tokens}, DType::u32);
  live_ = reserve({1 + plan.ranges}, DType::u32);
  state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
  strips_ = reserve({plan.range, static_cast<uint32_t>(ceil_div(plan.chunk, strip_columns())), args::kStripState}, DType::f32);
  if (shape.teacher_dim != 0) {
    teacher_state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
    teacher_sums_ = reserve({shape.tokens, args::kTeacherState}, DType::f32);
  }
  if (plan.slabs == 0) return;
  x_ = reserve({plan.range, shape.dim}, shape.dim % 2 == 0 ? storage_type(kernel_.precision) : DType::f32);
  d_x_ = reserve({plan.range, shape.dim}, DType::f32);
  for (uint32_t i = 0; i < plan.slabs; ++i) {
    slabs_.push_back(reserve({plan.range, plan.slab_stride()}, DType::f32));
    if (has_teacher()) teacher_slabs_.push_back(reserve({plan.range, plan.slab_stride()}, DType::f32));
  }
}

MatmulTile LinearCrossEntropy::tile(const ConstTensor& x, const ConstTensor& w) const {
  const auto in_pairs = [](const ConstTensor& tensor) { return tensor.cols() % 2 == 0 && tensor.slice().buffer_offset_bytes() % 8 == 0; };
  MatmulTile tile = choose_matmul_tile(caps_, plan_.range, plan_.chunk, in_pairs(x) && in_pairs(w), kernel_);
  const SpecConstants memory = memory_constants(kernel_, x, w);
  tile.constants.insert(tile.constants.end(), memory.begin(), memory.end());
  tile.constants.push_back(softcap_constant());
  return tile;
}

uint32_t LinearCrossEntropy::strip_columns() const {
  const MatmulTile tile = choose_matmul_tile(caps_, plan_.range, plan_.chunk, false, kernel_);  // as many in both scalar forms
  return tile.in_blocks ? tile.cols : std::max(kScalarStrip, tile.cols);
}

LinearCrossEntropy::Range LinearCrossEntropy::range(uint32_t index) const {
  const uint32_t first = index * plan_.range, rows = std::min(plan_.range, shape_.tokens - first);
  const auto part = [&](const Tensor& whole) { return whole ? whole.row_range(first, rows) : Tensor(); };
  return {.index = index,
          .first = first,
          .rows = rows,
          .row_tokens = rows_.range(first, rows),
          .live = live_.range(1 + index, 1),
          .state = part(state_),
          .teacher_state = part(teacher_state_),
          .teacher_sums = part(teacher_sums_)};
}

LinearCrossEntropy::Chunk LinearCrossEntropy::chunk(uint32_t index, const Range& range, const LossInputs& inputs) const {
  Chunk chunk{.index = index, .first = index * plan_.chunk, .kept = plan_.slabs > 0 && !plan_.recomputes(index)};
  chunk.columns = std::min(plan_.chunk, shape_.vocab - chunk.first);
  const auto slab = [&](const std::vector<Tensor>& slabs) {
    return slabs.empty() ? Tensor() : slabs[plan_.slab_of(index)].row_range(0, range.rows).columns(chunk.columns);
  };
  chunk.slab = slab(slabs_);
  chunk.teacher_slab = slab(teacher_slabs_);
  chunk.w = inputs.w.row_range(chunk.first, chunk.columns);
  if (has_teacher()) chunk.teacher_w = inputs.teacher_w.row_range(chunk.first, chunk.columns);
  return chunk;
}

// With a teacher, logits of both models go through memory even where they are not kept: they are compared there.
LinearCrossEntropy::Model LinearCrossEntropy::student(const Range& range, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = inputs.x,
          .w = chunk.w,
          .state = range.state,
          .slab = chunk.kept || has_teacher() ? chunk.slab : Tensor(),
          .softcap = options_.softcap,
          .wants_total = options_.label_smoothing > 0};
}

LinearCrossEntropy::Model LinearCrossEntropy::teacher(const Range& range, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = inputs.teacher_x,
          .w = chunk.teacher_w,
          .state = range.teacher_state,
          .slab = chunk.teacher_slab,
          .softcap = options_.teacher_softcap,
          .wants_total = false};
}

void LinearCrossEntropy::compact(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "compact");
  ops.program.dispatch(ops.kernel("loss_compact", ops.row_workgroup()),
                       args::LossCompactArgs{.rows = rows_,
                                             .position = position_,
                                             .live = live_,
                                             .status = outputs.status,
                                             .targets = inputs.targets,
                                             .weights = inputs.weights,
                                             .tokens = shape_.tokens,
                                             .vocab = shape_.vocab,
                                             .range = plan_.range},
                       1, {.bytes = 16.0 * shape_.tokens});
}

void LinearCrossEntropy::multiply(Ops& ops, const Range& range, const Chunk& chunk, const Model& model, ConstTensor targets) {
  const double n = range.rows, d = model.x.cols(), v = chunk.columns;
  const auto of_x = static_cast<double>(size_bytes(model.x.dtype())), of_w = static_cast<double>(size_bytes(model.w.dtype()));
  MatmulTile tile = this->tile(model.x, model.w);
  tile.constants.push_back({args::SPEC_VARIANT, (model.slab ? 1U : 0U) | (model.wants_total ? 2U : 0U)});
  tile.constants.push_back({args::SPEC_STRIP, strip_columns()});
  ops.program.dispatch(ops.kernel("loss_logits_" + tile.form, tile.workgroup, tile.constants),
                       args::LossLogitsArgs{.logits = model.slab,
                                            .strips = strips_,
                                            .state = model.state,
                                            .x = model.x,
                                            .w = model.w,
                                            .rows = range.row_tokens,
                                            .live = range.live,
                                            .targets = targets,
                                            .range = range.rows,
                                            .cols = chunk.columns,
                                            .dim = model.x.cols(),
                                            .row_step = spreading_row_step(ceil_div(range.rows, tile.rows)),
                                            .logits_stride = plan_.slab_stride(),
                                            .first_column = chunk.first,
                                            .alpha = 1.0F / options_.temperature,
                                            .softcap = model.softcap},
                       ceil_div(range.rows, tile.rows) * ceil_div(chunk.columns, strip_columns()),
                       {.flops = 2 * n * d * v, .bytes = of_x * n * d + of_w * v * d + (model.slab ? 4 * n * v : 0)});
}

void LinearCrossEntropy::combine(Ops& ops, const Range& range, const Chunk& chunk, Tensor state, ConstTensor targets) {
  const auto strips = static_cast<uint32_t>(ceil_div(chunk.columns, strip_columns()));
  ops.program.dispatch(ops.kernel("loss_combine", ops.row_workgroup()),
                       args::LossCombineArgs{.state = state,
                                             .strips = strips_,
                                             .rows = range.row_tokens,
                                             .live = range.live,
                                             .targets = targets,
                                             .strips_of_row = strips,
                                             .first_column = chunk.first,
                                             .vocab = shape_.vocab},
                       range.rows, {.bytes = 4.0 * range.rows * (strips * args::kStripState + 2 * args::kRowState)});
}

void LinearCrossEntropy::forward_chunk(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs) {
  {
    const Program::Scope scope(ops.program, "logits");
    multiply(ops, range, chunk, student(range, chunk, inputs), inputs.targets);
  }
  {
    const Program::Scope scope(ops.program, "combine");
    combine(ops, range, chunk, range.state, inputs.targets);
  }
  if (!has_teacher()) return;
  const Program::Scope scope(ops.program, "teacher");
  multiply(ops, range, chunk, teacher(range, chunk, inputs), inputs.targets);
  combine(ops, range, chunk, range.teacher_state, inputs.targets);
  compare_with_teacher(ops, range, chunk);
}

void LinearCrossEntropy::compare_with_teacher(Ops& ops, const Range& range, const Chunk& chunk) {
  ops.program.dispatch(ops.kernel("loss_teacher", ops.row_workgroup(), {softcap_constant()}),
                       args::LossTeacherArgs{.sums = range.teacher_sums,
                                             .logits = chunk.slab,
                                             .teacher_logits = chunk.teacher_slab,
                                             .teacher_state = range.teacher_state,
                                             .live = range.live,
                                             .range = range.rows,
                                             .row_step = spreading_row_step(range.rows),
                                             .cols = chunk.columns,
                                             .logits_stride = plan_.slab_stride(),
                                             .first_column = chunk.first,
                                             .softcap = options_.softcap,
                                             .teacher_softcap = options_.teacher_softcap},
                       range.rows, {.bytes = 8.0 * range.rows * chunk.columns});
}

void LinearCrossEntropy::teacher_logit_gradients(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs,
                                                 ConstTensor inverse_weight) {
  if (!chunk.kept) {
    const Program::Scope scope(ops.program, "logits again");
    multiply(ops, range, chunk, student(range, chunk, inputs), inputs.targets);
    multiply(ops, range, chunk, teacher(range, chunk, inputs), inputs.targets);
  }
  const Program::Scope scope(ops.program, "logit gradients");
  ops.program.dispatch(ops.kernel("loss_teacher_gradient", ops.row_workgroup(), {softcap_constant()}),
                       args::LossTeacherGradientArgs{.logits = chunk.slab,
                                                     .state = range.state,
                                                     .rows = range.row_tokens,
                                                     .live = range.live,
                                                     .targets = inputs.targets,
                                                     .weights = inputs.weights,
                                                     .inverse_weight = inverse_weight,
                                                     .teacher_logits = chunk.teacher_slab,
                                                     .teacher_state = range.teacher_state,
                                                     .range = range.rows,
                                                     .row_step = spreading_row_step(range.rows),
                                                     .cols = chunk.columns,
                                                     .logits_stride = plan_.slab_stride(),
                                                     .first_column = chunk.first,
                                                     .vocab = shape_.vocab,
                                                     .softcap = options_.softcap,
                                                     .smoothing = options_.label_smoothing,
                                                     .z_loss = options_.z_loss,
                                                     .teacher_softcap = options_.teacher_softcap,
                                                     .distillation = options_.distillation},
                       range.rows, {.bytes = 12.0 * range.rows * chunk.columns});
}

void LinearCrossEntropy::logit_gradients(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs,
                                         ConstTensor inverse_weight) {
  if (has_teacher()) return teacher_logit_gradients(ops, range, chunk, inputs, inverse_weight);
  const double n = range.rows, d = shape_.dim, v = chunk.columns;
  const auto of_x = static_cast<double>(size_bytes(inputs.x.dtype())), of_w = static_cast<double>(size_bytes(chunk.w.dtype()));
  if (chunk.kept) {
    const Program::Scope scope(ops.program, "logit gradients");
    return ops.program.dispatch(ops.kernel(in_pairs() ? "loss_gradient_scalar_pairs" : "loss_gradient", ops.row_workgroup(), {softcap_constant()}),
                                args::LossGradientArgs{.logits = chunk.slab,
                                                       .state = range.state,
                                                       .rows = range.row_tokens,
                                                       .live = range.live,
                                                       .targets = inputs.targets,
                                                       .weights = inputs.weights,
                                                       .inverse_weight = inverse_weight,
                                                       .range = range.rows,
                                                       .row_step = spreading_row_step(range.rows),
                                                       .cols = chunk.columns,
                                                       .logits_stride = plan_.slab_stride(),
                                                       .first_column = chunk.first,
                                                       .vocab = shape_.vocab,
                                                       .softcap = options_.softcap,
                                                       .smoothing = options_.label_smoothing,
                                                       .z_loss = options_.z_loss},
                                range.rows, {.bytes = 8 * n * v});
  }
  const Program::Scope scope(ops.program, "logits again");
  const MatmulTile tile = this->tile(inputs.x, chunk.w);
  ops.program.dispatch(ops.kernel("loss_recompute_" + tile.form, tile.workgroup, tile.constants),
                       args::LossRecomputeArgs{.gradient = chunk.slab,
                                               .x = inputs.x,
                                               .w = chunk.w,
                                               .state = range.state,
                                               .rows = range.row_tokens,
                                               .live = range.live,
                                               .targets = inputs.targets,
                                               .weights = inputs.weights,
                                               .inverse_weight = inverse_weight,
                                               .range = range.rows,
                                               .dim = shape_.dim,
                                               .row_step = spreading_row_step(ceil_div(range.rows, tile.rows)),
                                               .cols = chunk.columns,
                                               .logits_stride = plan_.slab_stride(),
                                               .first_column = chunk.first,
                                               .vocab = shape_.vocab,
                                               .alpha = 1.0F / options_.temperature,
                                               .softcap = options_.softcap,
                                               .smoothing = options_.label_smoothing,
                                               .z_loss = options_.z_loss},
                       tile.count(range.rows, chunk.columns), {.flops = 2 * n * d * v, .bytes = of_x * n * d + of_w * v * d + 4 * n * v});
}

void LinearCrossEntropy::backward_range(Ops& ops, const Range& range, const LossGradients& gradients, const LossInputs& inputs,
                                        ConstTensor inverse_weight) {
  const double n = range.rows, d = shape_.dim;
  const Tensor x = x_.row_range(0, range.rows), d_x = d_x_.row_range(0, range.rows);
  {
    const Program::Scope scope(ops.program, "gather");
    ops.program.dispatch(ops.kernel("loss_gather", ops.row_workgroup(), type_constants(x, inputs.x)),
                         args::LossGatherArgs{.compact = x, .x = inputs.x, .rows = range.row_tokens, .live = range.live, .dim = shape_.dim},
                         range.rows, {.bytes = static_cast<double>(size_bytes(inputs.x.dtype()) + size_bytes(x.dtype())) * n * d});
  }
  // The last chunk's logits are still there: begin with it.
  for (uint32_t i = plan_.chunks; i-- > 0;) {
    const Chunk chunk = this->chunk(i, range, inputs);
    logit_gradients(ops, range, chunk, inputs, inverse_weight);
    const MatmulOptions options{.live = range.live, .alpha = 1.0F / options_.temperature, .force = kernel_};
    {
      const Program::Scope scope(ops.program, "d_x");
      matmul_nn(ops, d_x, chunk.slab, chunk.w, i + 1 == plan_.chunks ? Into::overwrite : Into::accumulate, options);
    }
    const Program::Scope scope(ops.program, "d_w");
    matmul_tn(ops, gradients.d_w.row_range(chunk.first, chunk.columns), chunk.slab, x,
              range.index == 0 ? gradients.into_d_w : Into::accumulate, options);
  }
  const Program::Scope scope(ops.program, "scatter");
  ops.program.dispatch(ops.kernel("loss_scatter", ops.row_workgroup()),
                       args::LossScatterArgs{.d_x = gradients.d_x,
                                             .d_compact = d_x,
                                             .position = position_,
                                             .tokens = shape_.tokens,
                                             .dim = shape_.dim,
                                             .first = range.first,
                                             .range = range.rows},
                       shape_.tokens, {.bytes = 8 * n * d});
}

void LinearCrossEntropy::finish(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "finish");
  ops.program.dispatch(ops.kernel("loss_finish", ops.row_workgroup()),
                       args::LossFinishArgs{.state = state_,
                                            .nll = outputs.nll,
                                            .sums = outputs.sums,
                                            .status = outputs.status,
                                            .rows = rows_,
                                            .position = position_,
                                            .live = live_,
                                            .targets = inputs.targets,
                                            .weights = inputs.weights,
                                            .teacher_state = teacher_state_,
                                            .teacher_sums = teacher_sums_,
                                            .tokens = shape_.tokens,
                                            .vocab = shape_.vocab,
                                            .smoothing = options_.label_smoothing,
                                            .z_loss = options_.z_loss,
                                            .distillation = options_.distillation},
                       1, {.bytes = 32.0 * shape_.tokens});
}

void LinearCrossEntropy::forward(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  compact(ops, outputs, inputs);
  for (uint32_t r = 0; r < plan_.ranges; ++r)
    for (uint32_t c = 0; c < plan_.chunks; ++c) forward_chunk(ops, range(r), chunk(c, range(r), inputs), inputs);
  finish(ops, outputs, inputs);
}

void LinearCrossEntropy::forward_backward(Ops& ops, const LossOutputs& outputs, const LossGradients& gradients, const LossInputs& inputs,
                                          ConstTensor inverse_weight) {
  CHECK(plan_.slabs > 0, "gradients of a loss made for evaluation");
  compact(ops, outputs, inputs);
  for (uint32_t r = 0; r < plan_.ranges; ++r) {
    const Range range = this->range(r);
    for (uint32_t c = 0; c < plan_.chunks; ++c) forward_chunk(ops, range, chunk(c, range, inputs), inputs);
    backward_range(ops, range, gradients, inputs, inverse_weight);
  }
  finish(ops, outputs, inputs);
}

}  // namespace lapilli
