#pragma once
// Fused linear + softmax cross-entropy over a chunked vocabulary.
//
//   z = cap(x wt / temperature)            logits, never all in memory unless the plan says so
//   lse_n = ln sum_v exp(z_nv)             nll_n = lse_n - z_n[y_n]   (nats)
//   objective_n = (1 - eps) nll_n + eps (lse_n - mean_v z_nv) + lambda lse_n^2
//   loss = sum_n w_n objective_n / sum_n w_n
//   d_x = dz w, d_w = dzt x                dz = p - onehot and the terms of the options (shaders/loss/loss_gradient.glsl)
//
// With a teacher (distillation; Hinton, Vinyals, Dean 2015, arXiv:1503.02531, the same temperature for both models):
// logits zt = cap(x_t w_tt / temperature) of its hidden states and head, computed by chunk like the student's, q =
// softmax(zt),
//   entropy H_n = -sum q ln q      cross-entropy C_n = -sum q ln p      KL_n = sum q ln(q / p) = C_n - H_n
//   objective_n = (1 - beta) ((1 - eps) nll_n + eps (lse_n - mean_v z_nv)) + beta C_n + lambda lse_n^2
//
// Every mask is a row weight: a row of weight 0, or with target args::kIgnoreIndex, is skipped before the first GEMM.
// It costs nothing, its x and target are not read, its gradient is exactly 0. The divisor is the weight of all
// micro-batches of a step, passed by the caller.
//
// Logits are computed tile by tile and reduced in registers (online softmax: max, sum of exps, target's logit, argmax).
// They reach memory only if the plan keeps them for backward (model/loss/loss_plan.h). Logit gradients have the type of
// the operands of the d_x and d_w GEMMs and are multiplied by the row weight and, in 16 bits, by kGradientScale; (loss
// scale) / sum w is applied in f32 when d_x and d_w accumulate. All sums have a fixed order.

#include <functional>
#include <optional>
#include <vector>

#include "model/loss/loss_plan.h"
#include "model/loss/loss_sums.h"
#include "model/matmul/matmul.h"
#include "model/matmul/matmul_tile.h"
#include "shaders/loss/args.h"

namespace lapilli {

struct LossInputs {
  ConstTensor x;        // [N,D]; x and w are f32 or the kernel's 16-bit operand type (coopmat2: w must be 16-bit)
  ConstTensor w;        // [>=V,D]: rows beyond V are padding, without score or gradient
  ConstTensor targets;  // u32 [N]; args::kIgnoreIndex: none
  ConstTensor weights;  // [N]; below 250 each with f16 operands: logit gradients reach kGradientScale times that
  ConstTensor teacher_x = {};  // [N,Dt] and
  ConstTensor teacher_w = {};  // [>=V,Dt], when the shape has a teacher
};
struct LossOutputs {
  Tensor nll;     // [N] by token, nats; 0 for masked rows
  Tensor sums;    // [args::kSumCount]
  Tensor status;  // u32 [args::kStatusWords]
};
struct LossGradients {
  Tensor d_x;  // [N,D], overwritten
  Tensor d_w;  // [>=V,D]; rows beyond V are not touched
  Into into_d_w = Into::overwrite;
};

class LinearCrossEntropy {
 public:
  // Reserves its memory (kind "loss"). N is the maximum number of rows of a batch, V the real vocabulary size. `plan`
  // comes from plan_loss(). `kernel` replaces the device's default f32 kernel: by a 16-bit one, or in tests. Ops::tuner
  // may choose a faster one of the same precision; without a tuner, `kernel` also computes d_x and d_w. REQUIRES:
  // supports_plan().
  LinearCrossEntropy(Arena& arena, const DeviceCaps& caps, const LossShape& shape, const LossOptions& options, const LossPlan& plan,
                     const std::optional<MatmulKernel>& kernel = std::nullopt);

  // Records the loss alone.
  void forward(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  // Records the loss and the gradients of sum_n w_n objective_n * inverse_weight [1]. REQUIRES: a plan for training.
  void forward_backward(Ops& ops, const LossOutputs& outputs, const LossGradients& gradients, const LossInputs& inputs, ConstTensor inverse_weight);

  const LossPlan& plan() const { return plan_; }
  // Whether the kernel supports the plan's chunks: coopmat2 requires matrices aligned to 16 bytes.
  static bool supports_plan(const MatmulKernel& kernel, const LossShape& shape, const LossPlan& plan);
  // All memory of this class: logits and their gradients, the compact copies of x and d_x, the state of rows and
  // vocab blocks.
  uint64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  // Compact rows first .. first + rows of the batch: the arguments of the kernels of a row chunk.
  struct RowChunk {
    uint32_t index, first, rows;
    Tensor token_of_row;  // u32 [rows]
    Tensor num_valid;        // u32 [1]
    Tensor x, d_x, teacher_x;  // [rows,D] compact; or empty
    Tensor state;       // [rows, args::kRowState]
    Tensor teacher_state, teacher_sums;  // [rows, args::kRowState], [rows, args::kTeacherState]
  };
  // Student or teacher.
  struct Model {
    ConstTensor x, w;  // [N,D], [columns,D]
    Tensor state;      // of the row chunk
    Tensor logits_buffer;       // where logits are kept, or empty
    float softcap;
    bool needs_logit_sum;  // sum z
  };
  // Columns first .. first + columns of the vocabulary.
  struct Chunk {
    uint32_t index, first, columns;
    bool kept;     // its logits stay until their gradient is computed
    Tensor logits_buffer, teacher_logits_buffer;  // [row_chunk, columns], rows gapped; empty where the plan has none
    Tensor gradient;            // the memory of `logits_buffer`: logit gradients in the operand type
    ConstTensor w, teacher_w;   // [columns,D]
  };
  RowChunk row_chunk(uint32_t index) const;
  Chunk chunk(uint32_t index, const RowChunk& row_chunk, const LossInputs& inputs) const;

  // The kernels of this precision that can compute the logits on this device, the default first.
  std::vector<MatmulKernel> kernels() const;
  void resolve_kernel(Ops& ops, const LossInputs& inputs);
  void compact(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  void gather(Ops& ops, const RowChunk& row_chunk, const LossInputs& inputs);
  void forward_chunk(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs);
  void multiply(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const Model& model, ConstTensor targets);
  void combine(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, Tensor state, ConstTensor targets);
  void compare_with_teacher(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk);
  Model student(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const;
  Model teacher(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const;
  // The fields that the kernels of logit gradients share (LOSS_GRADIENT_FIELDS).
  template <typename Args>
  Args gradient_args(const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs) const;
  void teacher_logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs);
  void logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs);
  void recompute_logit_gradients(Ops& ops, const RowChunk& row_chunk, const Chunk& chunk, const LossInputs& inputs);
  void backward_row_chunk(Ops& ops, const RowChunk& row_chunk, const LossGradients& gradients, const LossInputs& inputs, ConstTensor inverse_weight);
  void finish(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  // Records the loss of each row chunk, followed by `after_forward`.
  void for_each_row_chunk(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs, const std::function<void(const RowChunk&)>& after_forward);

  bool has_teacher() const { return shape_.teacher_dim != 0; }
  // Whether the logits kernel requires the rows of x without gaps.
  static bool gathers_first(const MatmulKernel& kernel) { return kernel.kernel_class == KernelClass::coopmat2; }
  DType gradient_type() const { return storage_type(kernel_.precision); }
  // Whether logits buffers are read with 64-bit loads: their rows start at even elements.
  bool uses_load64() const { return kernel_.kernel_class == KernelClass::cpu && kernel_.load64 && caps_.fast_64bit_loads; }
  MatmulTile tile(const ConstTensor& x, const ConstTensor& w) const;
  SpecConstants gradient_constants() const { return {softcap_constant(), type_constant(args::SPEC_C_TYPE, gradient_type())}; }
  // Bytes moved when the gradients of a chunk are computed from `read` f32 matrices of its size.
  double gradient_bytes(const Chunk& chunk, uint32_t read) const {
    return static_cast<double>(chunk.gradient.elements() * (sizeof(float) * read + size_bytes(gradient_type())));
  }
  SpecConstant softcap_constant() const { return {args::SPEC_SOFTCAP, options_.softcap != 0 || options_.teacher_softcap != 0 ? 1U : 0U}; }

  LossShape shape_;
  LossOptions options_;
  LossPlan plan_;
  const DeviceCaps& caps_;
  const MatmulKernel default_kernel_;  // the default, without a measurement
  MatmulKernel kernel_;            // of the logits, and of d_x and d_w without a tuner
  Tensor token_of_row_, row_of_token_, num_valid_;  // u32 [N], [N], [1 + row_chunks]
  Tensor state_;                   // [N, args::kRowState]
  Tensor teacher_state_, teacher_sums_;  // [N, args::kRowState], [N, args::kTeacherState] or empty
  Tensor vocab_blocks_;                  // [row_chunk * vocab blocks of a chunk * args::kVocabBlockState]
  Tensor x_, d_x_;                 // [row_chunk,D] compact; x_ in the operand type where D is even
  Tensor teacher_x_;               // [row_chunk,Dt], for kernels that require it
  std::vector<Tensor> logits_buffers_, teacher_logits_buffers_;  // [row_chunk, logits buffer stride] each
  uint64_t scratch_bytes_ = 0;
};

}  // namespace lapilli
