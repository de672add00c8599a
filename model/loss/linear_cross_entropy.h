#pragma once
// Fused linear + softmax cross-entropy over a chunked vocabulary.
//
//   z = cap(x wt / temperature)            logits, never held whole unless asked for
//   lse_n = ln sum_v exp(z_nv)             nll_n = lse_n - z_n[y_n]   (nats)
//   objective_n = (1 - eps) nll_n + eps (lse_n - mean_v z_nv) + lambda lse_n^2
//   loss = sum_n w_n objective_n / sum_n w_n
//   d_x = dz w, d_w = dzt x                dz = p - onehot and the terms of the options (shaders/loss/loss_gradient.glsl)
//
// With a teacher (distillation; Hinton, Vinyals, Dean 2015, arXiv:1503.02531, both models at the one temperature): logits
// zt = cap(x_t w_tt / temperature) of its own hidden states and head, made chunk by chunk like the student's, q = softmax(zt),
//   entropy H_n = -sum q ln q      cross-entropy C_n = -sum q ln p      KL_n = sum q ln(q / p) = C_n - H_n
//   objective_n = (1 - beta) ((1 - eps) nll_n + eps (lse_n - mean_v z_nv)) + beta C_n + lambda lse_n^2
//
// Every mask is a row weight: a row of weight 0, or whose target is args::kIgnoreIndex, is left out before the first
// multiplication. It costs nothing, its x and target are not read, its gradient is exactly 0. The divisor is the weight of
// all micro-batches of a step, which the caller gives.
//
// The logits of a tile leave the registers of the product that makes them only as (max, sum of exps, target's logit, argmax),
// and as themselves where the plan keeps them for the gradient (model/loss/loss_plan.h). Their gradients are of the type of the factors that
// the products of d_x and d_w take, times a row's weight only; 1 / sum w comes in with those products' sums, in f32. All sums are in a
// fixed order.

#include <functional>
#include <optional>
#include <vector>

#include "model/loss/loss_plan.h"
#include "model/loss/loss_sums.h"
#include "model/matmul/matmul.h"
#include "shaders/loss/args.h"

namespace lapilli {

struct LossInputs {
  ConstTensor x;        // [N,D]; x and w are f32, or of the type of the kernel's 16-bit factors (w for coopmat2: of that)
  ConstTensor w;        // [>=V,D]: rows beyond V are padding, neither scored nor given a gradient
  ConstTensor targets;  // u32 [N]; args::kIgnoreIndex: none
  ConstTensor weights;  // [N] with f16 factors below 250 each: gradients of logits reach kGradientScale times that
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
  Tensor d_w;  // [>=V,D]; rows beyond V are left alone
  Into into_d_w = Into::overwrite;
};

class LinearCrossEntropy {
 public:
  // Reserves its memory ("loss" in the plan). N is the most rows of a batch, V the real vocabulary size. `plan` comes from
  // plan_loss(). `kernel`: another one than the device's own for f32: of 16 bits, or for tests. Ops::tuning may choose one of its precision
  // that is faster; without, it also multiplies d_x and d_w. REQUIRES: takes_plan().
  LinearCrossEntropy(Arena& arena, const DeviceCaps& caps, const LossShape& shape, const LossOptions& options, const LossPlan& plan,
                     const std::optional<MatmulKernel>& kernel = std::nullopt);

  // Records the loss alone.
  void forward(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  // Records the loss and the gradients of sum_n w_n objective_n * inverse_weight [1]. REQUIRES: a plan for training.
  void forward_backward(Ops& ops, const LossOutputs& outputs, const LossGradients& gradients, const LossInputs& inputs,
                        ConstTensor inverse_weight);

  const LossPlan& plan() const { return plan_; }
  // Whether the kernel can make the logits of such chunks: coopmat2 takes matrices that begin at 16 bytes.
  static bool takes_plan(const MatmulKernel& kernel, const LossShape& shape, const LossPlan& plan);
  // All that this class holds: logits and what they become, the compact copies of x and d_x, the state of rows and strips.
  uint64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  // Compact rows first .. first + rows of the batch, as the kernels of a range see them.
  struct Range {
    uint32_t index, first, rows;
    Tensor row_tokens;  // u32 [rows]
    Tensor live;        // u32 [1]
    Tensor x, d_x, teacher_x;  // [rows,D] compact; or empty
    Tensor state;       // [rows, args::kRowState]
    Tensor teacher_state, teacher_sums;  // [rows, args::kRowState], [rows, args::kTeacherState]
  };
  // One of the two models that make logits.
  struct Model {
    ConstTensor x, w;  // [N,D], [columns,D]
    Tensor state;      // of the range
    Tensor slab;       // where logits are kept, or empty
    float softcap;
    bool wants_total;  // sum z
  };
  // Columns first .. first + columns of the vocabulary.
  struct Chunk {
    uint32_t index, first, columns;
    bool kept;     // its logits stay until their gradient is made
    Tensor slab, teacher_slab;  // [range, columns], rows gapped; empty where the plan has none
    Tensor gradient;            // the same memory as slab: gradients of logits of the factors' type
    ConstTensor w, teacher_w;   // [columns,D]
  };
  Range range(uint32_t index) const;
  Chunk chunk(uint32_t index, const Range& range, const LossInputs& inputs) const;

  // Those of the kernel's precision that can make the logits on this device, the own one first.
  std::vector<MatmulKernel> kernels() const;
  void settle_kernel(Ops& ops, const LossInputs& inputs);
  void compact(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  void gather(Ops& ops, const Range& range, const LossInputs& inputs);
  void forward_chunk(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs);
  void multiply(Ops& ops, const Range& range, const Chunk& chunk, const Model& model, ConstTensor targets);
  void combine(Ops& ops, const Range& range, const Chunk& chunk, Tensor state, ConstTensor targets);
  void compare_with_teacher(Ops& ops, const Range& range, const Chunk& chunk);
  Model student(const Range& range, const Chunk& chunk, const LossInputs& inputs) const;
  Model teacher(const Range& range, const Chunk& chunk, const LossInputs& inputs) const;
  void teacher_logit_gradients(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs);
  void logit_gradients(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs);
  void recompute_logit_gradients(Ops& ops, const Range& range, const Chunk& chunk, const LossInputs& inputs);
  void backward_range(Ops& ops, const Range& range, const LossGradients& gradients, const LossInputs& inputs, ConstTensor inverse_weight);
  void finish(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs);
  // The loss of each range of rows, and what comes after it.
  void go_over_ranges(Ops& ops, const LossOutputs& outputs, const LossInputs& inputs, const std::function<void(const Range&)>& after_forward);

  bool has_teacher() const { return shape_.teacher_dim != 0; }
  // Whether the logits' kernel wants the rows of x without gaps.
  static bool gathers_first(const MatmulKernel& kernel) { return kernel.kernel_class == KernelClass::coopmat2; }
  DType gradient_type() const { return storage_type(kernel_.precision); }
  // Whether slabs are read two floats at a time: their rows start at even elements.
  bool in_pairs() const { return kernel_.kernel_class == KernelClass::scalar && kernel_.pairs && caps_.fast_pair_loads; }
  MatmulTile tile(const ConstTensor& x, const ConstTensor& w) const;
  SpecConstants gradient_constants() const { return {softcap_constant(), type_constant(args::SPEC_C_TYPE, gradient_type())}; }
  // Memory that goes by when gradients of a chunk are made from so many f32 matrices of its size.
  double gradient_bytes(const Chunk& chunk, uint32_t read) const {
    return static_cast<double>(chunk.gradient.elements() * (sizeof(float) * read + size_bytes(gradient_type())));
  }
  SpecConstant softcap_constant() const { return {args::SPEC_SOFTCAP, options_.softcap != 0 || options_.teacher_softcap != 0 ? 1U : 0U}; }

  LossShape shape_;
  LossOptions options_;
  LossPlan plan_;
  const DeviceCaps& caps_;
  const MatmulKernel own_kernel_;  // without a measurement
  MatmulKernel kernel_;            // of the logits, and of d_x and d_w where no tuning chooses one
  Tensor rows_, position_, live_;  // u32 [N], [N], [1 + ranges]
  Tensor state_;                   // [N, args::kRowState]
  Tensor teacher_state_, teacher_sums_;  // [N, args::kRowState], [N, args::kTeacherState] or empty
  Tensor strips_;                  // [range * strips of a chunk * args::kStripState]
  Tensor x_, d_x_;                 // [range,D] compact; x_ in the factors' type where D is even
  Tensor teacher_x_;               // [range,Dt], where a kernel of the logits wants it
  std::vector<Tensor> slabs_, teacher_slabs_;  // [range, slab stride] each
  uint64_t scratch_bytes_ = 0;
};

}  // namespace lapilli
