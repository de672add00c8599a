// Backward pass of the loss: from logits, kept or recomputed, to gradients of logits, then to d_x and d_w.

#include "model/loss/linear_cross_entropy.h"
#include "shaders/loss/args.h"

namespace lapilli {

template <typename Args>
Args LinearCrossEntropy::gradient_args(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const {
  Args arguments{};
  arguments.state = row_chunk.state;
  arguments.token_of_row = row_chunk.token_of_row;
  arguments.num_valid = row_chunk.num_valid;
  arguments.targets = inputs.targets;
  arguments.weights = inputs.weights;
  arguments.row_chunk = row_chunk.rows;
  arguments.permutation_step = choose_permutation_step(row_chunk.rows);
  arguments.cols = chunk.columns;
  arguments.logits_stride = plan_.logits_buffer_stride();
  arguments.first_column = chunk.first;
  arguments.vocab = shape_.vocab;
  arguments.softcap = options_.softcap;
  arguments.smoothing = options_.label_smoothing;
  arguments.z_loss = options_.z_loss;
  return arguments;
}

void LinearCrossEntropy::teacher_logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) {
  if (!chunk.kept) {
    const Program::Scope scope(ops.program, "logits again");
    multiply(ops, row_chunk, chunk, student(row_chunk, chunk, inputs), inputs.targets);
    multiply(ops, row_chunk, chunk, teacher(row_chunk, chunk, inputs), inputs.targets);
  }
  const Program::Scope scope(ops.program, "logit gradients");
  auto arguments = gradient_args<args::LossTeacherGradientArgs>(row_chunk, chunk, inputs);
  arguments.logits = {chunk.logits_buffer.slice()};  // with the gap of the last row, see multiply()
  arguments.teacher_logits = chunk.teacher_logits_buffer;
  arguments.teacher_state = row_chunk.teacher_state;
  arguments.teacher_softcap = options_.teacher_softcap;
  arguments.distillation = options_.distillation;
  ops.program.dispatch(ops.kernel("loss_teacher_gradient", ops.row_workgroup(), gradient_constants()), arguments, row_chunk.rows,
                       {.bytes = gradient_bytes(chunk, 2)});
}

void LinearCrossEntropy::logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) {
  if (has_teacher()) return teacher_logit_gradients(ops, row_chunk, chunk, inputs);
  if (!chunk.kept) return recompute_logit_gradients(ops, row_chunk, chunk, inputs);
  const Program::Scope scope(ops.program, "logit gradients");
  auto arguments = gradient_args<args::LossGradientArgs>(row_chunk, chunk, inputs);
  arguments.logits = {chunk.logits_buffer.slice()};  // with the gap of the last row, see multiply()
  ops.program.dispatch(ops.kernel(uses_load64() ? "loss_gradient_cpu_load64" : "loss_gradient", ops.row_workgroup(), gradient_constants()), arguments,
                       row_chunk.rows, {.bytes = gradient_bytes(chunk, 1)});
}

void LinearCrossEntropy::recompute_logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) {
  const Program::Scope scope(ops.program, "logits again");
  const ConstTensor x = gathers_first(kernel_) ? ConstTensor(row_chunk.x) : inputs.x;
  const MatmulTile tile = this->tile(x, chunk.w);
  const double n = row_chunk.rows, d = shape_.dim, v = chunk.columns;
  const auto of_x = static_cast<double>(size_bytes(x.dtype())), of_w = static_cast<double>(size_bytes(chunk.w.dtype()));
  auto arguments = gradient_args<args::LossRecomputeArgs>(row_chunk, chunk, inputs);
  arguments.gradient = chunk.gradient;
  arguments.x = x;
  arguments.w = chunk.w;
  arguments.permutation_step = choose_permutation_step(ceil_div(row_chunk.rows, tile.rows));
  arguments.dim = shape_.dim;
  arguments.alpha = 1.0F / options_.temperature;
  ops.program.dispatch(ops.kernel("loss_recompute_" + tile.form, tile.workgroup, tile.constants), arguments,
                       tile.count(row_chunk.rows, chunk.columns),
                       {.flops = 2 * n * d * v, .bytes = of_x * n * d + of_w * v * d + gradient_bytes(chunk, 0), .matrices = kernel_.uses_coopmat()});
}

void LinearCrossEntropy::backward_row_chunk(Ops& ops, const RowChunk& row_chunk, const LossGradients& gradients, const LossInputs& inputs,
                                            ConstTensor inverse_weight) {
  const float unit = gradient_type() == DType::f32 ? 1.0F : args::kGradientScale;
  // The last chunk's logits are still in memory: start with it.
  for (uint32_t i = plan_.chunks; i-- > 0;) {
    const Chunk chunk = this->chunk(i, row_chunk, inputs);
    logit_gradients(ops, row_chunk, chunk, inputs);
    const MatmulOptions options{.num_valid = row_chunk.num_valid,
                                .alpha = 1.0F / options_.temperature / unit,
                                .scale = inverse_weight,
                                .force = ops.tuner == nullptr ? std::optional(kernel_) : std::nullopt};
    {
      const Program::Scope scope(ops.program, "d_x");
      matmul_nn(ops, row_chunk.d_x, chunk.gradient, chunk.w, i + 1 == plan_.chunks ? Into::overwrite : Into::accumulate, options);
    }
    const Program::Scope scope(ops.program, "d_w");
    matmul_tn(ops, gradients.d_w.row_range(chunk.first, chunk.columns), chunk.gradient, row_chunk.x,
              row_chunk.index == 0 ? gradients.into_d_w : Into::accumulate, options);
  }
  const Program::Scope scope(ops.program, "scatter");
  ops.program.dispatch(ops.kernel("loss_scatter", ops.row_workgroup()),
                       args::LossScatterArgs{.d_x = gradients.d_x,
                                             .d_compact = row_chunk.d_x,
                                             .row_of_token = row_of_token_,
                                             .tokens = shape_.tokens,
                                             .dim = shape_.dim,
                                             .first = row_chunk.first,
                                             .row_chunk = row_chunk.rows},
                       shape_.tokens, {.bytes = 8.0 * row_chunk.rows * shape_.dim});
}

}  // namespace lapilli
