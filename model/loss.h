#pragma once
// Fused linear + softmax cross-entropy over a chunked vocabulary.
//
//   z = cap(x wt / temperature)            logits, never held whole: [N, chunk] at a time
//   lse_n = ln sum_v exp(z_nv)             nll_n = lse_n - z_n[y_n]   (nats)
//   objective_n = (1 - eps) nll_n + eps (lse_n - mean_v z_nv) + lambda lse_n^2
//   loss = sum_n w_n objective_n / sum_n w_n
//   d_x = dz w, d_w = dzt x                dz = p - onehot and the terms of the options (shaders/loss_chunk_backward.comp)
//
// Every mask is a row weight: a row of weight 0, or whose target is args::kIgnoreIndex, is left out before the first
// multiplication. It costs nothing, its x and target are not read, its gradient is exactly 0. The divisor is the weight of
// all micro-batches of a step, which the caller gives.
//
// Strategies (chunks of the vocabulary, slabs = chunks of logits held at once):
//   full    one chunk of V columns, kept from forward to backward: 6NDV FLOPs, N*V*4 bytes.
//   vocab   chunks of `chunk` columns. As many slabs as memory_mib allows keep their logits for the backward pass (the last
//           chunk always does); the others are multiplied again: up to 8NDV FLOPs, as little as one slab.
//   automatic  full when its logits fit memory_mib, else vocab.
// Evaluation (training = false) runs the forward pass with one slab and no gradient.

#include <optional>
#include <string_view>

#include "model/ops.h"

namespace lapilli {

enum class LossStrategy { automatic, full, vocab };

struct LossOptions {
  LossStrategy strategy = LossStrategy::automatic;
  uint32_t chunk = 0;             // columns; 0: from the memory budget
  uint64_t memory_mib = 256;      // for logits
  float label_smoothing = 0;      // eps in [0, 1)
  float z_loss = 0;               // lambda >= 0
  float softcap = 0;              // kappa; 0: none
  float temperature = 1;          // > 0
};

// What the options come to for a shape.
struct LossPlan {
  LossStrategy strategy = LossStrategy::full;
  uint32_t chunk = 0;   // columns of a chunk; the last one may be narrower
  uint32_t chunks = 1;
  uint32_t slabs = 1;   // chunks of logits held at once
  bool recomputes(uint32_t index) const { return slabs < chunks && index + 1 >= slabs && index + 1 != chunks; }
  uint64_t slab_bytes(uint32_t tokens) const { return uint64_t{tokens} * chunk * slabs * sizeof(float); }
};
// Throws Error when `full` is asked for and one slab would be 2^31 logits or more.
LossPlan plan_loss(const LossOptions& options, uint32_t tokens, uint32_t vocab, bool training);

// The sums a batch leaves (order of args::kSum*), read back by the host.
struct LossSums {
  double weight = 0, nll = 0, objective = 0, hits = 0, z_loss = 0, rows = 0;
};
LossSums read_loss_sums(std::span<const float> words);
// Throws Error naming the row and the id when a target is not below V, or the row whose loss is not finite. `what` says
// which batch ("step 12, micro-batch 0").
void require_good_targets(std::span<const uint32_t> status, uint32_t vocab, const std::string& what);
std::optional<uint32_t> non_finite_row(std::span<const uint32_t> status);

class LinearCrossEntropy {
 public:
  // Reserves its memory ("loss" in the plan). `tokens` N is the most rows of a batch, D the width, V the real vocabulary
  // size: columns of w beyond it are padding, and neither scored nor given a gradient.
  LinearCrossEntropy(Arena& arena, uint32_t tokens, uint32_t dim, uint32_t vocab, const LossOptions& options, bool training);

  // Records the loss of x [N,D] against w [>=V,D]. Writes nll [N] (by token, nats, 0 for masked rows), sums
  // f32 [args::kSumCount] and status u32 [args::kStatusWords].
  void forward(Ops& ops, Tensor nll, Tensor sums, Tensor status, ConstTensor x, ConstTensor w, ConstTensor targets,
               ConstTensor weights);

  // Records the gradients of sum_n w_n objective_n * inverse_weight. REQUIRES: forward() recorded just before with the same
  // tensors; training. d_x [N,D] is overwritten; d_w [>=V,D] rows below V as `into_d_w` says.
  void backward(Ops& ops, Tensor d_x, Tensor d_w, ConstTensor w, ConstTensor targets, ConstTensor weights,
                ConstTensor inverse_weight, Into into_d_w);

  const LossPlan& plan() const { return plan_; }
  // Logits and gradients of logits, the compact copies of x and d_x, row state: all that this class holds.
  uint64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  Tensor slab(uint32_t chunk_index, uint32_t width) const;  // [N,width]
  uint32_t width(uint32_t chunk_index) const;
  void multiply_chunk(Ops& ops, uint32_t chunk_index, ConstTensor w);

  uint32_t tokens_, dim_, vocab_;
  LossOptions options_;
  LossPlan plan_;
  Tensor rows_, position_, live_;  // u32 [N], [N], [1]
  Tensor state_;                   // [N, args::kRowState]
  Tensor x_, d_x_;                 // compact [N,D]
  Tensor slabs_;                   // [slabs * N * chunk]
  uint64_t scratch_bytes_ = 0;
};

}  // namespace lapilli
