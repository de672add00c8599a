// Arguments of the fused loss. See shaders/common/args.h.
#ifndef LAPILLI_SHADERS_LOSS_ARGS_H
#define LAPILLI_SHADERS_LOSS_ARGS_H

#include "shaders/common/args.h"

ARGS_BEGIN

// ---- loss_*.comp: fused linear + softmax cross-entropy, model/loss/linear_cross_entropy.h ----
// "Compact" rows are the valid rows of the batch (weight not 0, target not kIgnoreIndex), in order, without gaps.
// Kernels of a row chunk (model/loss/linear_cross_entropy.h) get pointers to its first row, and the number of its valid
// rows.
const uint kIgnoreIndex = 0xFFFFFFFFu;  // as a target: this row has none
const uint kNoRow = 0xFFFFFFFFu;
// Words of a loss status.
const uint kStatusBadTargets = 0;     // valid rows whose target is not below V
const uint kStatusBadRow = 1;         // the first of them (token index), kNoRow if none
const uint kStatusBadId = 2;          // its target
const uint kStatusNonFiniteRow = 3;   // the first row (token index) whose loss is not finite, kNoRow if none
const uint kStatusWords = 4;
// Sums over the valid rows of a batch, each times the row's weight unless said otherwise.
const uint kSumWeight = 0;     // the weights themselves
const uint kSumNll = 1;        // lse - z_y, nats
const uint kSumObjective = 2;  // the minimised objective: nll, smoothing and z-loss together
const uint kSumTop1Correct = 3;       // top-1 correct: 1 if the largest logit is the target's (the lowest index wins a tie)
const uint kSumZLoss = 4;      // lambda * lse^2
const uint kSumRows = 5;       // valid rows, unweighted
// With a teacher (distillation): its entropy, the cross-entropy of the student under it, and the divergence between them.
const uint kSumTeacherEntropy = 6;
const uint kSumTeacherCrossEntropy = 7;
const uint kSumTeacherKl = 8;
const uint kSumCount = 12;

struct LossCompactArgs {
  OutU32 token_of_row;       // [N] token index of each compact row; undefined beyond the valid ones
  OutU32 row_of_token;   // [N] compact row of each token, or kNoRow
  OutU32 num_valid;       // [1 + row_chunks] number of valid rows: of the batch, then of each row chunk
  OutU32 status;     // [kStatusWords] reset, then the bad targets
  InU32 targets;     // [N]
  InF32 weights;     // [N]
  uint tokens;       // N
  uint vocab;        // V
  uint row_chunk;        // compact rows of a row chunk
};

struct LossGatherArgs {
  OutReal compact;   // [rows,D] x[token_of_row[r]] in row r, r < num_valid
  InReal x;          // [N,D]
  InU32 token_of_row;        // [rows]
  InU32 num_valid;        // [1]
  uint dim;
};

struct LossScatterArgs {
  OutF32 d_x;        // [N,D] row n: d_compact[row_of_token[n] - first] if in the row chunk; 0 if n has no compact row and first
                     // is 0
  InF32 d_compact;   // [row_chunk,D]
  InU32 row_of_token;    // [N]
  uint tokens, dim;
  uint first, row_chunk; // compact rows of d_compact
};

// State of one compact row over the chunks: kRowState floats.
const uint kRowMax = 0;        // m: the largest logit so far
const uint kRowSum = 1;        // s: sum exp(z - m)
const uint kRowTarget = 2;     // z_y
const uint kRowLogits = 3;     // sum z, for label smoothing
const uint kRowBest = 4;       // index of the largest logit, the lowest of them; exact as a float, V <= 2^24
const uint kRowLse = 5;        // m + ln s
const uint kRowState = 6;

// Partial result of one workgroup of loss_logits_*.comp for its vocab block of a row's logits: kVocabBlockState floats.
const uint kVocabBlockMax = 0, kVocabBlockSum = 1, kVocabBlockLogits = 2, kVocabBlockBest = 3;  // as kRow*; best: in the chunk
const uint kVocabBlockState = 4;

struct LossLogitsArgs {
  OutF32 logits;  // [rows,logits_stride] u = alpha x wt, before the softcap; or null
  OutF32 vocab_blocks;  // [rows,vocab blocks,kVocabBlockState]
  InOutF32 state;  // [rows,kRowState] writes kRowTarget if the target is in this chunk
  InReal x;  // [N,D] by token; for coopmat2 [rows,D] as `token_of_row` says
  InReal w;  // [cols,D] rows first_column.. of the head
  InU32 token_of_row;  // [rows]
  InU32 num_valid;  // [1]
  InU32 targets;  // [N] by token
  uint row_chunk, cols, dim;
  uint permutation_step;  // permutation of the rows of tiles
  uint logits_stride;
  uint first_column;
  float alpha;  // 1 / temperature
  float softcap;  // kappa; 0: none
};

struct LossCombineArgs {
  InOutF32 state;  // [rows,kRowState] updated with the chunk
  InF32 vocab_blocks;  // [rows,vocab blocks,kVocabBlockState]
  InU32 token_of_row, num_valid, targets;
  uint vocab_blocks_of_row;
  uint first_column, vocab;
};

// Logit gradients are stored before the division, so in [-1, 1] times the row's weight; the GEMMs that read them apply
// 1 / sum w. In 16 bits they are scaled by this factor: f16 then flushes to zero below 2^-33, has less than 11 bits
// below 2^-22, and overflows at 255.
const float kGradientScale = 256.0f;

// What the three kernels of logit gradients share.
#define LOSS_GRADIENT_FIELDS                                                                           \
  InF32 state;                               /* [rows,kRowState] */                                    \
  InU32 token_of_row, num_valid, targets;    /* [rows], [1], [N] */                                    \
  InF32 weights;                             /* [N] */                                                 \
  uint row_chunk, permutation_step;          /* rows, and their order (common.glsl's strided_permutation) */ \
  uint cols, logits_stride, first_column, vocab;                                                       \
  float softcap, smoothing, z_loss;

// Computes logit gradients from logits; see shaders/loss/loss_gradient.glsl.
struct LossGradientArgs {
  // [rows,logits_stride] In: f32 logits u. Out: d(w * objective)/du, in place, of type SPEC_C_TYPE; 16 bits: in the
  // first half of the row.
  InOutReal logits;
  LOSS_GRADIENT_FIELDS
};
// The same with a teacher.
struct LossTeacherGradientArgs {
  InOutReal logits;
  InF32 teacher_logits;  // [rows,logits_stride] before the softcap
  InF32 teacher_state;  // [rows,kRowState]
  LOSS_GRADIENT_FIELDS
  float teacher_softcap, distillation;
};
// The same, recomputed from x and w without reading logits.
struct LossRecomputeArgs {
  OutReal gradient;  // [rows,logits_stride] like the output of LossGradientArgs.logits
  InReal x;  // as in LossLogitsArgs
  InReal w;  // [cols,D]
  LOSS_GRADIENT_FIELDS  // permutation_step: of the rows of tiles
      uint dim;
  float alpha;  // 1 / temperature
};

// Sums over teacher and student logits of a compact row over the chunks, with e = exp(zt - m), zt the teacher's logits
// and m their maximum so far: kTeacherState floats.
const uint kTeacherMax = 0;  // m
const uint kTeacherSum = 1;  // sum e
const uint kTeacherEntropy = 2;  // sum e (zt - m)
const uint kTeacherCross = 3;  // sum e z
const uint kTeacherKl = 4;  // sum e (zt - z)
const uint kTeacherState = 5;

struct LossTeacherArgs {
  InOutF32 sums;  // [rows,kTeacherState]
  InF32 logits;  // [rows,logits_stride] of the student, before the softcap
  InF32 teacher_logits;  // [rows,logits_stride] of the teacher, likewise
  InF32 teacher_state;  // [rows,kRowState] including this chunk
  InU32 num_valid;  // [1]
  uint row_chunk, permutation_step;  // rows, and their order (common.glsl's strided_permutation)
  uint cols, logits_stride, first_column;
  float softcap, teacher_softcap;
};

struct LossFinishArgs {
  InF32 state;  // [N,kRowState]
  OutF32 nll;  // [N] by token, nats; 0 where there is no target
  OutF32 sums;  // [kSumCount]
  InOutU32 status;  // [kStatusWords]
  InU32 token_of_row, row_of_token, num_valid, targets;
  InF32 weights;  // [N]
  InF32 teacher_state, teacher_sums;  // [N,kRowState], [N,kTeacherState]; or both null
  uint tokens, vocab;
  float smoothing, z_loss, distillation;
};

ARGS_END

#endif
