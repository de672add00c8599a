#include "model/loss/linear_cross_entropy.h"

#include <algorithm>

#include "model/loss/logits_tuning.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

// Columns one workgroup of a CPU driver processes before it reduces across lanes
// (shaders/loss/loss_logits_cpu.comp).
constexpr uint32_t kCpuVocabBlock = 512;

// coopmat2 reduces the rows of a tile through a second matrix of its size; larger tiles have no registers for it.
constexpr uint32_t kLargestReducedTile = 128 * 128;

// The tile of logits that a workgroup computes at once.
MatmulTile logits_tile(const DeviceCaps& caps, const LossPlan& plan, const MatmulKernel& kernel, bool load64_fits = false) {
  const MatmulTile tile = choose_matmul_tile(caps, plan.row_chunk, plan.chunk, load64_fits, kernel);
  if (kernel.kernel_class != KernelClass::coopmat2 || tile.rows * tile.cols <= kLargestReducedTile) return tile;
  MatmulKernel smaller = kernel;
  smaller.tile = smaller.tile_cols = 128;
  return choose_matmul_tile(caps, plan.row_chunk, plan.chunk, load64_fits, smaller);
}
// Columns per workgroup; the same in both forms of the cpu kernel.
uint32_t vocab_block_columns(const DeviceCaps& caps, const LossPlan& plan, const MatmulKernel& kernel) {
  const uint32_t columns = logits_tile(caps, plan, kernel).cols;
  return kernel.kernel_class == KernelClass::cpu ? std::max(kCpuVocabBlock, columns) : columns;
}

}  // namespace

LinearCrossEntropy::LinearCrossEntropy(Arena& arena, const DeviceCaps& caps, const LossShape& shape, const LossOptions& options, const LossPlan& plan,
                                       const std::optional<MatmulKernel>& kernel)
    : shape_(shape),
      options_(options),
      plan_(plan),
      caps_(caps),
      default_kernel_(kernel ? *kernel : matmul_kernel(caps, Precision::f32)),
      kernel_(default_kernel_) {
  CHECK(supports_plan(kernel_, shape, plan), "{} for {}, D {}", kernel_.to_string(), plan.to_string(), shape.dim);
  // The maximum over all kernels that tuning may choose.
  uint32_t max_vocab_blocks = 0;
  bool may_gather_first = false;
  for (const MatmulKernel& each : kernels()) {
    max_vocab_blocks = std::max(max_vocab_blocks, static_cast<uint32_t>(ceil_div(plan.chunk, vocab_block_columns(caps, plan, each))));
    may_gather_first |= gathers_first(each);
  }
  const auto reserve = [&](Shape tensor_shape, DType dtype) {
    scratch_bytes_ += tensor_shape.elements() * size_bytes(dtype);
    return reserve_tensor(arena, tensor_shape, "loss", dtype);
  };
  token_of_row_ = reserve({shape.tokens}, DType::u32);
  row_of_token_ = reserve({shape.tokens}, DType::u32);
  num_valid_ = reserve({1 + plan.row_chunks}, DType::u32);
  state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
  vocab_blocks_ = reserve({plan.row_chunk, max_vocab_blocks, args::kVocabBlockState}, DType::f32);
  if (shape.teacher_dim != 0) {
    teacher_state_ = reserve({shape.tokens, args::kRowState}, DType::f32);
    teacher_sums_ = reserve({shape.tokens, args::kTeacherState}, DType::f32);
  }
  const auto reserve_rows = [&](uint32_t dim) { return reserve({plan.row_chunk, dim}, dim % 2 == 0 ? storage_type(kernel_.precision) : DType::f32); };
  if (may_gather_first && has_teacher()) teacher_x_ = reserve_rows(shape.teacher_dim);
  if (may_gather_first || plan.logits_buffers > 0) x_ = reserve_rows(shape.dim);
  if (plan.logits_buffers == 0) return;
  d_x_ = reserve({plan.row_chunk, shape.dim}, DType::f32);
  for (uint32_t i = 0; i < plan.logits_buffers; ++i) {
    logits_buffers_.push_back(reserve({plan.row_chunk, plan.logits_buffer_stride()}, DType::f32));
    if (has_teacher()) teacher_logits_buffers_.push_back(reserve({plan.row_chunk, plan.logits_buffer_stride()}, DType::f32));
  }
}

bool LinearCrossEntropy::supports_plan(const MatmulKernel& kernel, const LossShape& shape, const LossPlan& plan) {
  if (kernel.kernel_class != KernelClass::coopmat2) return true;
  const auto takes = [&](uint32_t dim) { return dim % 2 == 0 && (plan.chunks == 1 || uint64_t{plan.chunk} * dim % 8 == 0); };
  return takes(shape.dim) && (shape.teacher_dim == 0 || takes(shape.teacher_dim));
}

std::vector<MatmulKernel> LinearCrossEntropy::kernels() const {
  std::vector<MatmulKernel> all{kernel_};
  if (kernel_.kernel_class == KernelClass::cpu || kernel_.tile != 0) return all;
  const auto add_tiles = [&](MatmulKernel kind) {
    for (const auto& [rows, cols] : matmul_tiles(caps_, kind)) {
      kind.tile = rows;
      kind.tile_cols = rows == cols ? 0 : cols;
      // Narrow tiles have many vocab blocks to reduce.
      if (cols >= 64 && (kind.kernel_class != KernelClass::coopmat2 || rows * cols <= kLargestReducedTile)) all.push_back(kind);
    }
  };
  // The default tile comes first, once.
  const uint32_t resolved = logits_tile(caps_, plan_, kernel_).rows;
  add_tiles(kernel_);
  std::erase_if(all, [&](const MatmulKernel& kernel) { return kernel.tile == resolved; });
  all.front().tile = resolved;
  const MatmulKernel of_workgroups{.kernel_class = KernelClass::coopmat2, .precision = kernel_.precision};
  if (kernel_.kernel_class == KernelClass::coopmat && !why_no_coopmat2(caps_, kernel_.precision) && supports_plan(of_workgroups, shape_, plan_))
    add_tiles(of_workgroups);
  return all;
}

void LinearCrossEntropy::resolve_kernel(Ops& ops, const LossInputs& inputs) {
  kernel_ = ops.quick ? quick_matmul_kernel(default_kernel_) : default_kernel_;
  if (ops.tuner == nullptr) return;
  std::vector<MatmulKernel> candidates = kernels();
  const auto fits = [&](const ConstTensor& w) { return !w || (w.dtype() == gradient_type() && w.slice().buffer_offset_bytes() % 16 == 0); };
  if (!fits(inputs.w) || !fits(inputs.teacher_w))
    std::erase_if(candidates, [](const MatmulKernel& kernel) { return kernel.kernel_class == KernelClass::coopmat2; });
  kernel_ = tune_logits(*ops.tuner, shape_, plan_, candidates);
}

MatmulTile LinearCrossEntropy::tile(const ConstTensor& x, const ConstTensor& w) const {
  const auto uses_load64 = [](const ConstTensor& tensor) { return tensor.cols() % 2 == 0 && tensor.slice().buffer_offset_bytes() % 8 == 0; };
  MatmulTile tile = logits_tile(caps_, plan_, kernel_, uses_load64(x) && uses_load64(w));
  const SpecConstants memory = memory_constants(kernel_, x, w);
  tile.constants.insert(tile.constants.end(), memory.begin(), memory.end());
  tile.constants.push_back(softcap_constant());
  return tile;
}

LinearCrossEntropy::RowChunk LinearCrossEntropy::row_chunk(uint32_t index) const {
  const uint32_t first = index * plan_.row_chunk, rows = std::min(plan_.row_chunk, shape_.tokens - first);
  const auto part = [&](const Tensor& whole) { return whole ? whole.row_range(first, rows) : Tensor(); };
  return {.index = index,
          .first = first,
          .rows = rows,
          .token_of_row = token_of_row_.range(first, rows),
          .num_valid = num_valid_.range(1 + index, 1),
          .x = x_ ? x_.row_range(0, rows) : Tensor(),
          .d_x = d_x_ ? d_x_.row_range(0, rows) : Tensor(),
          .teacher_x = teacher_x_ ? teacher_x_.row_range(0, rows) : Tensor(),
          .state = part(state_),
          .teacher_state = part(teacher_state_),
          .teacher_sums = part(teacher_sums_)};
}

LinearCrossEntropy::Chunk LinearCrossEntropy::chunk(uint32_t index, const RowChunk& row_chunk, const LossInputs& inputs) const {
  Chunk chunk{.index = index, .first = index * plan_.chunk, .kept = plan_.logits_buffers > 0 && !plan_.recomputes(index)};
  chunk.columns = std::min(plan_.chunk, shape_.vocab - chunk.first);
  const auto logits_buffer = [&](const std::vector<Tensor>& logits_buffers) {
    return logits_buffers.empty() ? Tensor() : logits_buffers[plan_.logits_buffer_of(index)].row_range(0, row_chunk.rows).columns(chunk.columns);
  };
  chunk.logits_buffer = logits_buffer(logits_buffers_);
  chunk.teacher_logits_buffer = logits_buffer(teacher_logits_buffers_);
  const auto wider = static_cast<uint32_t>(sizeof(float) / size_bytes(gradient_type()));  // same row stride in bytes as the logits
  if (chunk.logits_buffer)
    chunk.gradient =
        Tensor(chunk.logits_buffer.slice(), {row_chunk.rows, wider * plan_.logits_buffer_stride()}, gradient_type()).columns(chunk.columns);
  chunk.w = inputs.w.row_range(chunk.first, chunk.columns);
  if (has_teacher()) chunk.teacher_w = inputs.teacher_w.row_range(chunk.first, chunk.columns);
  return chunk;
}

// With a teacher, logits of both models are written to memory even if they are not kept, because they are compared
// there.
LinearCrossEntropy::Model LinearCrossEntropy::student(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = gathers_first(kernel_) ? row_chunk.x : inputs.x,
          .w = chunk.w,
          .state = row_chunk.state,
          .logits_buffer = chunk.kept || has_teacher() ? chunk.logits_buffer : Tensor(),
          .softcap = options_.softcap,
          .needs_logit_sum = options_.label_smoothing > 0};
}

LinearCrossEntropy::Model LinearCrossEntropy::teacher(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const {
  return {.x = gathers_first(kernel_) ? row_chunk.teacher_x : inputs.teacher_x,
          .w = chunk.teacher_w,
          .state = row_chunk.teacher_state,
          .logits_buffer = chunk.teacher_logits_buffer,
          .softcap = options_.teacher_softcap,
          .needs_logit_sum = false};
}

void LinearCrossEntropy::compact(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "compact");
  ops.program.dispatch(ops.kernel("loss_compact", ops.row_workgroup()),
                       args::LossCompactArgs{.token_of_row = token_of_row_,
                                             .row_of_token = row_of_token_,
                                             .num_valid = num_valid_,
                                             .status = outputs.status,
                                             .targets = inputs.targets,
                                             .weights = inputs.weights,
                                             .tokens = shape_.tokens,
                                             .vocab = shape_.vocab,
                                             .row_chunk = plan_.row_chunk},
                       1, {.bytes = 16.0 * shape_.tokens});
}

// d_w sums over compact rows of x, whichever kernel computes the logits. Rows beyond the live ones are neither read
// later nor counted.
void LinearCrossEntropy::gather(Ops& ops, const RowChunk& row_chunk, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "gather");
  const auto gather_rows = [&](const Tensor& compact, const ConstTensor& x) {
    const auto bytes_each = static_cast<double>(size_bytes(x.dtype()) + size_bytes(compact.dtype()));
    ops.program.dispatch(ops.kernel("loss_gather", ops.row_workgroup(), type_constants(compact, x)),
                         args::LossGatherArgs{
                             .compact = compact, .x = x, .token_of_row = row_chunk.token_of_row, .num_valid = row_chunk.num_valid, .dim = x.cols()},
                         row_chunk.rows, {.bytes = bytes_each * static_cast<double>(compact.elements())});
  };
  if (gathers_first(kernel_) || plan_.logits_buffers > 0) gather_rows(row_chunk.x, inputs.x);
  if (gathers_first(kernel_) && has_teacher()) gather_rows(row_chunk.teacher_x, inputs.teacher_x);
}

void LinearCrossEntropy::multiply(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const Model& model, ConstTensor targets) {
  const double n = row_chunk.rows, d = model.x.cols(), v = chunk.columns;
  const auto of_x = static_cast<double>(size_bytes(model.x.dtype())), of_w = static_cast<double>(size_bytes(model.w.dtype()));
  MatmulTile tile = this->tile(model.x, model.w);
  tile.constants.push_back({args::SPEC_VARIANT, (model.logits_buffer ? 1U : 0U) | (model.needs_logit_sum ? 2U : 0U)});
  tile.constants.push_back({args::SPEC_VOCAB_BLOCK, vocab_block_columns(caps_, plan_, kernel_)});
  // All of the rows of the logits: with an odd number of columns, pairs reach into the gap behind the last one.
  ops.program.dispatch(ops.kernel("loss_logits_" + tile.form, tile.workgroup, tile.constants),
                       args::LossLogitsArgs{.logits = {model.logits_buffer.slice()},
                                            .vocab_blocks = vocab_blocks_,
                                            .state = model.state,
                                            .x = model.x,
                                            .w = model.w,
                                            .token_of_row = row_chunk.token_of_row,
                                            .num_valid = row_chunk.num_valid,
                                            .targets = targets,
                                            .row_chunk = row_chunk.rows,
                                            .cols = chunk.columns,
                                            .dim = model.x.cols(),
                                            .permutation_step = choose_permutation_step(ceil_div(row_chunk.rows, tile.rows)),
                                            .logits_stride = plan_.logits_buffer_stride(),
                                            .first_column = chunk.first,
                                            .alpha = 1.0F / options_.temperature,
                                            .softcap = model.softcap},
                       ceil_div(row_chunk.rows, tile.rows) * ceil_div(chunk.columns, vocab_block_columns(caps_, plan_, kernel_)),
                       {.flops = 2 * n * d * v,
                        .bytes = of_x * n * d + of_w * v * d + (model.logits_buffer ? 4 * n * v : 0),
                        .matrices = kernel_.uses_coopmat()});
}

void LinearCrossEntropy::combine(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, Tensor state, ConstTensor targets) {
  const auto vocab_blocks = static_cast<uint32_t>(ceil_div(chunk.columns, vocab_block_columns(caps_, plan_, kernel_)));
  ops.program.dispatch(ops.kernel("loss_combine", ops.row_workgroup()),
                       args::LossCombineArgs{.state = state,
                                             .vocab_blocks = vocab_blocks_,
                                             .token_of_row = row_chunk.token_of_row,
                                             .num_valid = row_chunk.num_valid,
                                             .targets = targets,
                                             .vocab_blocks_of_row = vocab_blocks,
                                             .first_column = chunk.first,
                                             .vocab = shape_.vocab},
                       row_chunk.rows, {.bytes = 4.0 * row_chunk.rows * (vocab_blocks * args::kVocabBlockState + 2 * args::kRowState)});
}

void LinearCrossEntropy::forward_chunk(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) {
  {
    const Program::Scope scope(ops.program, "logits");
    multiply(ops, row_chunk, chunk, student(row_chunk, chunk, inputs), inputs.targets);
  }
  {
    const Program::Scope scope(ops.program, "combine");
    combine(ops, row_chunk, chunk, row_chunk.state, inputs.targets);
  }
  if (!has_teacher()) return;
  const Program::Scope scope(ops.program, "teacher");
  multiply(ops, row_chunk, chunk, teacher(row_chunk, chunk, inputs), inputs.targets);
  combine(ops, row_chunk, chunk, row_chunk.teacher_state, inputs.targets);
  compare_with_teacher(ops, row_chunk, chunk);
}

void LinearCrossEntropy::compare_with_teacher(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk) {
  ops.program.dispatch(ops.kernel("loss_teacher", ops.row_workgroup(), {softcap_constant()}),
                       args::LossTeacherArgs{.sums = row_chunk.teacher_sums,
                                             .logits = chunk.logits_buffer,
                                             .teacher_logits = chunk.teacher_logits_buffer,
                                             .teacher_state = row_chunk.teacher_state,
                                             .num_valid = row_chunk.num_valid,
                                             .row_chunk = row_chunk.rows,
                                             .permutation_step = choose_permutation_step(row_chunk.rows),
                                             .cols = chunk.columns,
                                             .logits_stride = plan_.logits_buffer_stride(),
                                             .first_column = chunk.first,
                                             .softcap = options_.softcap,
                                             .teacher_softcap = options_.teacher_softcap},
                       row_chunk.rows, {.bytes = 8.0 * row_chunk.rows * chunk.columns});
}

void LinearCrossEntropy::finish(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "finish");
  ops.program.dispatch(ops.kernel("loss_finish", ops.row_workgroup()),
                       args::LossFinishArgs{.state = state_,
                                            .nll = outputs.nll,
                                            .sums = outputs.sums,
                                            .status = outputs.status,
                                            .token_of_row = token_of_row_,
                                            .row_of_token = row_of_token_,
                                            .num_valid = num_valid_,
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

void LinearCrossEntropy::for_each_row_chunk(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs,
                                            const std::function<void(const RowChunk&)>& after_forward) {
  resolve_kernel(ops, inputs);
  compact(ops, outputs, inputs);
  for (uint32_t r = 0; r < plan_.row_chunks; ++r) {
    const RowChunk row_chunk = this->row_chunk(r);
    gather(ops, row_chunk, inputs);
    for (uint32_t c = 0; c < plan_.chunks; ++c) forward_chunk(ops, row_chunk, chunk(c, row_chunk, inputs), inputs);
    after_forward(row_chunk);
  }
  finish(ops, outputs, inputs);
}

void LinearCrossEntropy::forward(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs) {
  for_each_row_chunk(ops, outputs, inputs, [](const RowChunk&) {});
}

void LinearCrossEntropy::forward_backward(Ops& ops, const LossOutputs& outputs, const LossGradients& gradients, const LossInputs& inputs,
                                          ConstTensor inverse_weight) {
  CHECK(plan_.logits_buffers > 0, "gradients of a loss created for evaluation only");
  for_each_row_chunk(ops, outputs, inputs, [&](const RowChunk& row_chunk) { backward_row_chunk(ops, row_chunk, gradients, inputs, inverse_weight); });
}

}  // namespace lapilli
