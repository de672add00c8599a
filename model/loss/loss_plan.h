#pragma once
// How the loss splits the logits [N,V] of a batch: into row chunks of compact rows, and each of these into chunks of
// the vocabulary.
//
//   full    one row chunk, every chunk kept from forward to backward: 6NDV FLOPs, N*V*4 bytes.
//   tokens  several row chunks, each with all its chunks kept. The gradient of a row chunk follows its loss directly;
//           the next row chunk reuses its memory. 6NDV FLOPs; d_w is read and written once per row chunk.
//   vocab   chunks of few columns. As many chunks as memory_mib allows keep their logits for backward (the last one
//           always does); the others are recomputed: up to 8NDV FLOPs, as little memory as the logits of one chunk.
//   automatic  the first that fits memory_mib, in the order full, tokens, vocab; tune_loss() measures instead
//           (model/loss/loss_plan_tuning.h).
// All strategies are parameters of the same code. The width of a chunk is bounded so that one GEMM never occupies a
// slow GPU for long.

#include <cstdint>
#include <string>
#include <vector>

namespace lapilli {

enum class LossStrategy { automatic, full, tokens, vocab };
constexpr const char* kLossStrategyNames[] = {"auto", "full", "tokens", "vocab"};
constexpr const char* to_string(LossStrategy strategy) { return kLossStrategyNames[static_cast<int>(strategy)]; }

struct LossOptions {
  LossStrategy strategy = LossStrategy::automatic;
  uint32_t chunk = 0;             // vocab: columns of a chunk, tokens: rows of a row chunk; 0: from the memory budget
  uint64_t memory_mib = 256;      // for logits and the compact copies of x and d_x
  float label_smoothing = 0;      // eps in [0, 1)
  float z_loss = 0;               // lambda >= 0
  float softcap = 0;              // kappa; 0: none
  float temperature = 1;          // > 0; of the teacher's logits too
  float distillation = 0;         // beta in [0, 1]: weight of the teacher's soft targets against the hard ones
  float teacher_softcap = 0;
};

struct LossShape {
  uint32_t tokens, dim, vocab;  // N, D, V
  uint32_t teacher_dim = 0;     // width of the teacher; 0: there is none
};

struct LossPlan {
  LossStrategy strategy = LossStrategy::full;
  uint32_t row_chunk = 0;   // rows of a row chunk; the last one may be shorter
  uint32_t row_chunks = 1;
  uint32_t chunk = 0;   // columns of a chunk; the last one may be narrower
  uint32_t chunks = 1;
  uint32_t logits_buffers = 1;   // chunks whose logits are in memory at the same time; 0: none (evaluation)
  uint32_t models = 1;  // 2 with a teacher: each logits buffer holds the logits of both models

  uint32_t logits_buffer_stride() const;  // floats from a row of a logits buffer to the next
  uint64_t logits_buffer_bytes() const;   // of all logits buffers
  // Whether backward must recompute a chunk's logits.
  bool recomputes(uint32_t chunk_index) const { return logits_buffers < chunks && chunk_index + 1 >= logits_buffers && chunk_index + 1 != chunks; }
  // Chunks 0 .. `logits_buffers` - 2 have one each; the last one holds the last chunk, then each recomputed chunk.
  uint32_t logits_buffer_of(uint32_t chunk_index) const { return chunk_index + 1 < logits_buffers ? chunk_index : logits_buffers - 1; }
  // FLOPs of the student's training pass, divided by N D V: 6, and up to 8 where logits are recomputed.
  double flops_per_logit_and_dim(uint32_t vocab) const;
  std::string to_string() const;  // "tokens: 4 ranges of 512 rows"
};

// The plan of a pass over a shape. `training` false: forward only, keeps no logits.
LossPlan plan_loss(const LossOptions& options, const LossShape& shape, bool training);

// Plans to measure on a device: all that fit the memory budget, the most promising first; one if the options determine
// it.
std::vector<LossPlan> loss_candidates(const LossOptions& options, const LossShape& shape);

}  // namespace lapilli
