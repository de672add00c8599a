#include "model/loss/linear_cross_entropy.h"

#include <algorithm>

#include "model/loss/logits_tuning.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

// Columns one workgroup of a CPU driver processes before it reduces across lanes
// (shaders/loss/loss_logits_scalar.glsl).
constexpr uint32_t kScalarStrip = 512;

// coopmat2 reduces the rows of a tile through a second matrix of its size; larger tiles have no registers for it.
constexpr uint32_t kLargestReducedTile = 128 * 128;

// The tile of logits that a workgroup computes at once.
MatmulTile logits_tile(const DeviceCaps& caps, const LossPlan& plan, const MatmulKernel& kernel, bool pairs_fit = false) {
  const MatmulTile tile = choose_matmul_tile(caps, plan.range, plan.chunk, pairs_fit, kernel);
  if (kernel.kernel_class != KernelClass::coopmat2 || tile.rows * tile.cols <= kLargestReducedTile) return tile;
  MatmulKernel smaller = kernel;
  smaller.tile = smaller.tile_cols = 128;
  return choose_matmul_tile(caps, plan.range, plan.chunk, pairs_fit, smaller);
}
// Columns per workgroup; the same in both forms of the scalar kernel.
uint32_t strip_columns(const DeviceCaps& caps, const LossPlan& plan, const MatmulKernel& kernel) {
  const uint32_t columns = logits_tile(caps, plan, kernel).cols;
  return kernel.kernel_class == KernelClass::scalar ? std::max(kScalarStrip, columns) : columns;
}

}  // namespace

LinearCrossEntropy::LinearCrossEntropy(Arena& arena, const DeviceCaps& caps, const LossShape& shape, const LossOptions& options,
                                       const LossPlan& plan, const std::optional<MatmulKernel>& kernel)
    : shape_(shape), options_(options), plan_(plan), caps_(caps), own_kernel_(kernel ? *kernel : matmul_kernel(caps, Precision::f32)), kernel_(own_kernel_) {
  CHECK(takes_plan(kernel_, shape, plan), "{} for {}, D {}", kernel_.to_string(), plan.to_string(), shape.dim);
  // The maximum over all kernels that tuning may choose.
  uint32_t most_strips = 0;
  bool may_gather_first = false;
  for (const MatmulKernel& each : kernels()) {
    most_strips = std::max(most_strips, static_cast<uint32_t>(ceil_div(plan.chunk, strip_columns(caps, plan, each))));
    may_gather_first |= gathers_first(each);
  }
  const auto reserve = [&](Shape tensor_shape, DType dtype) {
    scratch_bytes_ += tensor_shape.elements() * size_bytes(dtype);
    return reserve_tensor(arena, tensor_shape, "loss", dtype);
  };
  rows_ = reserve({shape.tokens}, DType::u32);
  position_ = reserve({shape.tokens}, DType::u32);
  live_ = reserve({1 + plan.ranges}, DType::u32);
  state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
  strips_ = reserve({plan.range, most_strips, args::kStripState}, DType::f32);
  if (shape.teacher_dim != 0) {
    teacher_state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
    teacher_sums_ = reserve({shape.tokens, args::kTeacherState}, DType::f32);
  }
  const auto reserve_rows = [&](uint32_t dim) { return reserve({plan.range, dim}, dim % 2 == 0 ? storage_type(kernel_.precision) : DType::f32); };
  if (may_gather_first && has_teacher()) teacher_x_ = reserve_rows(shape.teacher_dim);
  if (may_gather_first || plan.slabs > 0) x_ = reserve_rows(shape.dim);
  if (plan.slabs == 0) return;
  d_x_ = reserve({plan.range, shape.dim}, DType::f32);
  for (uint32_t i = 0; i < plan.slabs; ++i) {
    slabs_.push_back(reserve({plan.range, plan.slab_stride()}, DType::f32));
    if (has_teacher()) teacher_slabs_.push_back(reserve({plan.range, plan.slab_stride()}, DType::f32));
  }
}

bool LinearCrossEntropy::takes_plan(const MatmulKernel& kernel, const LossShape& shape, const LossPlan& plan) {
  if (kernel.kernel_class != KernelClass::coopmat2) return true;
  const auto takes = [&](uint32_t dim) { return dim % 2 == 0 && (plan.chunks == 1 || uint64_t{plan.chunk} * dim % 8 == 0); };
  return takes(shape.dim) && (shape.teacher_dim == 0 || takes(shape.teacher_dim));
}

std::vector<MatmulKernel> LinearCrossEntropy::kernels() const {
  std::vector<MatmulKernel> all{kernel_};
  if (kernel_.kernel_class == KernelClass::scalar || kernel_.tile != 0) return all;
  const auto add_tiles = [&](MatmulKernel kind) {
    for (const auto& [rows, cols] : matmul_tiles(caps_, kind)) {
      kind.tile = rows;
      kind.tile_cols = rows == cols ? 0 : cols;
      // Narrow tiles have many strips to reduce.
      if (cols >= 64 && (kind.kernel_class != KernelClass::coopmat2 || rows * cols <= kLargestReducedTile)) all.push_back(kind);
    }
  };
  // The default tile comes first, once.
  const uint32_t settled = logits_tile(caps_, plan_, kernel_).rows;
  add_tiles(kernel_);
  std::erase_if(all, [&](const MatmulKernel& kernel) { return kernel.tile == settled; });
  all.front().tile = settled;
  const MatmulKernel of_workgroups{.kernel_class = KernelClass::coopmat2, .precision = kernel_.precision};
  if (kernel_.kernel_class == KernelClass::coopmat && !why_no_coopmat2(caps_, kernel_.precision) && takes_plan(of_workgroups, shape_, plan_))
    add_tiles(of_workgroups);
  return all;
}

void LinearCrossEntropy::settle_kernel(Ops& ops, const LossInputs& inputs) {
  kernel_ = ops.quick ? quick_matmul_kernel(own_kernel_) : own_kernel_;
  if (ops.tuner == nullptr) return;
  std::vector<MatmulKernel> candidates = kernels();
  const auto fits = [&](const ConstTensor& w) { return !w || (w.dtype() == gradient_type() && w.slice().buffer_offset_bytes() % 16 == 0); };
  if (!fits(inputs.w) || !fits(inputs.teacher_w))
    std::erase_if(candidates, [](const MatmulKernel& kernel) { return kernel.kernel_class == KernelClass::coopmat2; });
  kernel_ = tune_logits(*ops.tuner, shape_, plan_, candidates);
}

MatmulTile LinearCrossEntropy::tile(const ConstTensor& x, const ConstTensor& w) const {
  const auto in_pairs = [](const ConstTensor& tensor) { return tensor.cols() % 2 == 0 && tensor.slice().buffer_offset_bytes() % 8 == 0; };
  MatmulTile tile = logits_tile(caps_, plan_, kernel_, in_pairs(x) && in_pairs(w));
  const SpecConstants memory = memory_constants(kernel_, x, w);
  tile.constants.insert(tile.constants.end(), memory.begin(), memory.end());
  tile.constants.push_back(softcap_constant());
  return tile;
}

LinearCrossEntropy::Range LinearCrossEntropy::range(uint32_t index) const {
  const uint32_t first = index * plan_.range, rows = std::min(plan_.range, shape_.tokens - first);
  const auto part = [&](const Tensor& whole) { return whole ? whole.row_range(first, rows) : Tensor(); };
  return {.index = index,
          .first = first,
          .rows = rows,
          .row_tokens = rows_.range(first, rows),
          .live = live_.range(1 + index, 1),
          .x = x_ ? x_.row_range(0, rows) : Tensor(),
          .d_x = d_x_ ? d_x_.row_range(0, rows) : Tensor(),
          .teacher_x = teacher_x_ ? teacher_x_.row_range(0, rows) : Tensor(),
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
  const auto wider = static_cast<uint32_t>(sizeof(float) / size_bytes(gradient_type()));  // same row stride in bytes as the logits
  if (chunk.slab) chunk.gradient = Tensor(chunk.slab.slice(), {range.rows, wider * plan_.slab_stride()}, gradient_type()).columns(chunk.columns);
  chunk.w = inputs.w.row_range(chunk.first, chunk.columns);
  if (has_teacher()) chunk.teacher_w = inputs.teacher_w.row_range(chunk.first, chunk.columns);
  return chunk;
}

// With a teacher, logits of both models are written to memory even if they are not kept, because they are compared
// there.
LinearCrossEntropy::Model LinearCrossEntropy::student(const Range& range, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = gathers_first(kernel_) ? range.x : inputs.x,
          .w = chunk.w,
          .state = range.state,
          .slab = chunk.kept || has_teacher() ? chunk.slab : Tensor(),
          .softcap = options_.softcap,
          .wants_total = options_.label_smoothing > 0};
}

LinearCrossEntropy::Model LinearCrossEntropy::teacher(const Range& range, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = gathers_first(kernel_) ? range.teacher_x : inputs.teacher_x,
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

// d_w sums over compact rows of x, whichever kernel computes the logits. Rows beyond the live ones are neither read
// later nor counted.
void LinearCrossEntropy::gather(Ops& ops, const Range& range, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "gather");
  const auto gather_rows = [&](const Tensor& compact, const ConstTensor& x) {
    const auto bytes_each = static_cast<double>(size_bytes(x.dtype()) + size_bytes(compact.dtype()));
    ops.program.dispatch(ops.kernel("loss_gather", ops.row_workgroup(), type_constants(compact, x)),
                         args::LossGatherArgs{.compact = compact, .x = x, .rows = range.row_tokens, .live = range.live, .dim = x.cols()}, range.rows,
                         {.bytes = bytes_each * static_cast<double>(compact.elements())});
  };
  if (gathers_first(kernel_) || plan_.slabs > 0) gather_rows(range.x, inputs.x);
  if (gathers_first(kernel_) && has_teacher()) gather_rows(range.teacher_x, inputs.teacher_x);
}

void LinearCrossEntropy::multiply(Ops& ops, const Range& range, const Chunk& chunk, const Model& model, ConstTensor targets) {
  const double n = range.rows, d = model.x.cols(), v = chunk.columns;
  const auto of_x = static_cast<double>(size_bytes(model.x.dtype())), of_w = static_cast<double>(size_bytes(model.w.dtype()));
  MatmulTile tile = this->tile(model.x, model.w);
  tile.constants.push_back({args::SPEC_VARIANT, (model.slab ? 1U : 0U) | (model.wants_total ? 2U : 0U)});
  tile.constants.push_back({args::SPEC_STRIP, strip_columns(caps_, plan_, kernel_)});
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
                       ceil_div(range.rows, tile.rows) * ceil_div(chunk.columns, strip_columns(caps_, plan_, kernel_)),
                       {.flops = 2 * n * d * v, .bytes = of_x * n * d + of_w * v * d + (model.slab ? 4 * n * v : 0), .matrices = kernel_.of_matrices()});
}

void LinearCrossEntropy::combine(Ops& ops, const Range& range, const Chunk& chunk, Tensor state, ConstTensor targets) {
  const auto strips = static_cast<uint32_t>(ceil_div(chunk.columns, strip_columns(caps_, plan_, kernel_)));
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

void LinearCrossEntropy::go_over_ranges(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs,
                                        const std::function<void(const Range&)>& after_forward) {
  settle_kernel(ops, inputs);
  compact(ops, outputs, inputs);
  for (uint32_t r = 0; r < plan_.ranges; ++r) {
    const Range range = this->range(r);
    gather(ops, range, inputs);
    for (uint32_t c = 0; c < plan_.chunks; ++c) forward_chunk(ops, range, chunk(c, range, inputs), inputs);
    after_forward(range);
  }
  finish(ops, outputs, inputs);
}

void LinearCrossEntropy::forward(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  go_over_ranges(ops, outputs, inputs, [](const Range&) {});
}

void LinearCrossEntropy::forward_backward(Ops& ops, const LossOutputs& outputs, const LossGradients& gradients, const LossInputs& inputs,
                                          ConstTensor inverse_weight) {
  CHECK(plan_.slabs > 0, "gradients of a loss created for evaluation only");
  go_over_ranges(ops, outputs, inputs, [&](const Range& range) { backward_range(ops, range, gradients, inputs, inverse_weight); });
}

}  // namespace lapilli
