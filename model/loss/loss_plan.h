#pragma once
// How the loss cuts the logits [N,V] of a batch: ranges of compact rows, and within a range chunks of the vocabulary.
//
//   full    one range, every chunk kept from forward to backward: 6NDV FLOPs, N*V*4 bytes.
//   tokens  ranges of few rows, each with all its chunks kept: the gradient of a range is made right after its loss, and the
//           next range takes its place. 6NDV FLOPs; d_w is read and written once a range.
//   vocab   chunks of few columns. As many slabs as memory_mib allows keep their logits for the backward pass (the last chunk
//           always does); the others are multiplied again: up to 8NDV FLOPs, as little memory as one slab.
//   automatic  what fits memory_mib, in the order full, tokens, vocab; tune_loss() measures instead (model/loss/loss_plan_tuning.h).
// They are points of one space: no strategy has code of its own. A chunk is never so wide that one product of it would hold
// a slow GPU for long.

#include <cstdint>
#include <string>
#include <vector>

namespace lapilli {

enum class LossStrategy { automatic, full, tokens, vocab };
constexpr const char* kLossStrategyNames[] = {"auto", "full", "tokens", "vocab"};
constexpr const char* to_string(LossStrategy strategy) { return kLossStrategyNames[static_cast<int>(strategy)]; }

struct LossOptions {
  LossStrategy strategy = LossStrategy::automatic;
  uint32_t chunk = 0;             // vocab: columns of a chunk, tokens: rows of a range; 0: from the memory budget
  uint64_t memory_mib = 256;      // for logits and the compact copies of x and d_x
  float label_smoothing = 0;      // eps in [0, 1)
  float z_loss = 0;               // lambda >= 0
  float softcap = 0;              // kappa; 0: none
  float temperature = 1;          // > 0; of the teacher's logits too
  float distillation = 0;         // beta in [0, 1]: what the teacher's soft targets weigh against the hard ones
  float teacher_softcap = 0;
};

struct LossShape {
  uint32_t tokens, dim, vocab;  // N, D, V
  uint32_t teacher_dim = 0;     // width of the teacher; 0: there is none
};

struct LossPlan {
  LossStrategy strategy = LossStrategy::full;
  uint32_t range = 0;   // rows of a range; the last one may be shorter
  uint32_t ranges = 1;
  uint32_t chunk = 0;   // columns of a chunk; the last one may be narrower
  uint32_t chunks = 1;
  uint32_t slabs = 1;   // chunks of logits held at once; 0: none (evaluation)
  uint32_t models = 1;  // 2 with a teacher: each slab holds the logits of both

  uint32_t slab_stride() const;  // floats from a row of a slab to the next
  uint64_t slab_bytes() const;   // of all slabs
  // Whether a chunk's logits are gone when its gradient is to be made.
  bool recomputes(uint32_t chunk_index) const { return slabs < chunks && chunk_index + 1 >= slabs && chunk_index + 1 != chunks; }
  // Chunks 0 .. slabs - 2 have slabs of their own; the last slab belongs to the last chunk, and then to each one recomputed.
  uint32_t slab_of(uint32_t chunk_index) const { return chunk_index + 1 < slabs ? chunk_index : slabs - 1; }
  // FLOPs of the student's training pass over N D V: 6, and up to 8 where logits are made twice.
  double flops_per_logit_and_dim(uint32_t vocab) const;
  std::string to_string() const;  // "tokens, 4 ranges of 512 rows"
};

// What a pass over a shape needs: `training` false is the forward pass alone, which keeps no logits.
LossPlan plan_loss(const LossOptions& options, const LossShape& shape, bool training);

// Plans worth comparing on a device: all that fit the memory budget, the most promising first. One, if the options say which.
std::vector<LossPlan> loss_candidates(const LossOptions& options, const LossShape& shape);

}  // namespace lapilli
