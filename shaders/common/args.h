// The one header that C++ and GLSL share: for every kernel the struct of its push constants, and the ids of the
// specialization constants.
//
// Pointer types say how memory is used: In (read), Out (written), InOut (both); the recorder works the barriers out from
// that. Pointers come first in each struct, then 4-byte scalars; no struct is larger than 128 bytes. A pointer marked
// "or null" may be an empty slice; shaders test it with is_null().
//
// Shape letters: B sequences, T positions, N = B*T tokens, D model width, H heads, G key/value heads, E head width,
// F feed-forward width, V vocabulary, L layers.

#ifndef LAPILLI_SHADERS_ARGS_H
#define LAPILLI_SHADERS_ARGS_H

#ifdef __cplusplus
#include <cstdint>

#include "engine/memory/access.h"

namespace lapilli::args {

using uint = uint32_t;
using InF32 = In<float>;
using OutF32 = Out<float>;
using InOutF32 = InOut<float>;
using InU32 = In<uint32_t>;
using OutU32 = Out<uint32_t>;
using InOutU32 = InOut<uint32_t>;
using InReal = In<Real>;
using OutReal = Out<Real>;
using InOutReal = InOut<Real>;

#define SPEC_CONSTANT(name, id) constexpr uint32_t name = id;
#else
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : enable

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InU32 { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutU32 { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutU32 { uint at[]; };
// f32, f16 or bf16, as a SPEC_*_TYPE says: shaders make of it what it is.
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutReal { uint unknown; };

#define SPEC_CONSTANT(name, id) const uint name = id;
#define is_null(pointer) (uvec2(pointer) == uvec2(0))
// What may be read through in any case: the pointer, or in place of null `other`, of memory that is there. For a word that all lanes read from
// one place: the lavapipe of Mesa 26.1 reads it in spite of a short branch around that.
#define readable(Type, pointer, other) Type(mix(uvec2(pointer), uvec2(other), bvec2(is_null(pointer))))
#endif

// ---- specialization constants ----
SPEC_CONSTANT(SPEC_WORKGROUP, 0)    // invocations of a workgroup
SPEC_CONSTANT(SPEC_SUBGROUP, 1)     // invocations of a subgroup, as the device has it
SPEC_CONSTANT(SPEC_TILE_ROWS, 2)    // matmul: rows of C a lane (scalar) or a workgroup (tiled) computes
SPEC_CONSTANT(SPEC_TILE_COLS, 3)    // matmul: columns, likewise
SPEC_CONSTANT(SPEC_TILE_DEPTH, 4)   // matmul: steps of K staged at once (tiled)
SPEC_CONSTANT(SPEC_HEAD_WIDTH, 5)   // E
SPEC_CONSTANT(SPEC_VARIANT, 6)      // a kernel with a few forms says in its header what each value means
SPEC_CONSTANT(SPEC_ELEMENTS, 7)     // kernels over a flat range: elements a lane takes (shaders/common/elements.glsl)
SPEC_CONSTANT(SPEC_STRIP, 8)        // loss: columns of the vocabulary a workgroup goes through, a multiple of its tile's
SPEC_CONSTANT(SPEC_ALIGNED, 9)      // whose rows begin where several elements can be taken at once
SPEC_CONSTANT(SPEC_FRAGMENT_ROWS, 10)   // rows, columns and depth of what the device multiplies at once
SPEC_CONSTANT(SPEC_FRAGMENT_COLS, 11)
SPEC_CONSTANT(SPEC_FRAGMENT_DEPTH, 12)
SPEC_CONSTANT(SPEC_SUBGROUPS_DOWN, 13)  // subgroups over the rows of a workgroup's tile; the others lie side by side
SPEC_CONSTANT(SPEC_A_TYPE, 14)      // what Real pointers point at, kF32, kF16 or kBF16. Products: a, b, and c with the addend.
SPEC_CONSTANT(SPEC_B_TYPE, 15)      // Other kernels: C is what they write; of what they read, their headers say which is A and B.
SPEC_CONSTANT(SPEC_C_TYPE, 16)
SPEC_CONSTANT(SPEC_EPILOGUE, 18)    // products: bit 0: a bias may be there, 1: an addend; 2: c and they may be touched two floats at a time; 3: a scale
SPEC_CONSTANT(SPEC_SOFTCAP, 17)     // loss: 0: no logits are capped, whatever the arguments say
SPEC_CONSTANT(SPEC_WIDTH, 20)       // norms: columns of a row
SPEC_CONSTANT(SPEC_NONLINEARITY, 19)  // products: what their sums pass through on their way to c, kLinear, kGelu, ...
SPEC_CONSTANT(SPEC_CONTEXT, 21)     // T, where positions are taken out of rows
SPEC_CONSTANT(SPEC_TURNED, 22)      // products: columns of c that turn (kRotary); attention backward: 1: d_q and d_k turn back
SPEC_CONSTANT(SPEC_TRANSPOSES, 23)  // products: 1: what does not lie along K in memory is turned on its way to shared memory (coopmat)
const uint kF32 = 0, kF16 = 1, kBF16 = 2;

// ---- matmul_*.comp ----
// c [rows,cols] = f(y), y = alpha * scale * op(a) op(b) + bias + addend, f as SPEC_NONLINEARITY says:
const uint kLinear = 0;          // y
const uint kGelu = 1;            // gelu(y)
const uint kGeluKept = 2;        // gelu(y), and y itself goes to `kept`
const uint kGeluBackward = 3;    // y gelu'(before): the gradient of what GELU read
const uint kSwigluBackward = 4;  // gradients of the pairs (gate, up) in `before`: it and c are [rows, 2 * cols], rows 2 * c_stride apart
const uint kRotary = 5;          // pairs of neighbouring columns, turned as rope.comp does: SPEC_TURNED columns, heads of SPEC_HEAD_WIDTH, position
                                 // row % SPEC_CONTEXT; `before` is RopeArgs::turns
const uint kSwiglu = 6;          // silu(gate) up of pairs (gate, up) of neighbouring columns, which go to `kept`; c is [rows, cols / 2], rows
                                 // c_stride / 2 apart
struct MatmulArgs {
  InOutReal c;      // [rows, cols], rows c_stride apart
  InReal a;         // element (row, k) at row * a_row + k * a_depth
  InReal b;         // element (k, col) at k * b_depth + col * b_col
  InF32 bias;       // [cols] or null
  InReal addend;    // laid out like c, may be c itself (accumulate); or null
  OutReal kept;     // likewise; or null
  InReal before;    // likewise, or what kRotary says; or null
  InF32 scale;      // [1] or null: a factor beside alpha
  InU32 live;       // [1] or null: how many rows (live_is_depth = 0) or steps of K (1) count; the rest is not touched
  uint rows, cols, depth;
  uint c_stride;
  uint a_row, a_depth;
  uint b_depth, b_col;
  uint live_is_depth;
  uint row_step;    // order of the rows of tiles (common.glsl's spread)
  float alpha;
};

// ---- matmul_sum.comp: what a product split along K adds up to ----
struct MatmulSumArgs {
  OutReal c;        // [rows, cols], rows c_stride apart: alpha * scale * sum of the parts + bias + addend
  InF32 parts;      // [splits, rows, cols]
  InF32 bias;       // [cols] or null
  InReal addend;    // laid out like c, may be c itself; or null
  InF32 scale;      // [1] or null
  uint rows, cols;
  uint c_stride;
  uint splits;
  float alpha;
};

// ---- loss_*.comp: fused linear + softmax cross-entropy, model/loss/linear_cross_entropy.h ----
// "compact" rows are the valid rows of the batch (weight not 0, target not kIgnoreIndex), in order, without gaps. Kernels that
// take a range of them (model/loss/linear_cross_entropy.h) get pointers to its first row, and the number of rows of the range that are live.
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
const uint kSumObjective = 2;  // what is minimised: nll, smoothing and z-loss together
const uint kSumHits = 3;       // 1 where the largest logit is the target's (the lowest index wins a tie)
const uint kSumZLoss = 4;      // lambda * lse^2
const uint kSumRows = 5;       // valid rows, unweighted
// With a teacher (distillation): its entropy, the cross-entropy of the student under it, and the divergence between them.
const uint kSumTeacherEntropy = 6;
const uint kSumTeacherCrossEntropy = 7;
const uint kSumTeacherKl = 8;
const uint kSumCount = 12;

struct LossCompactArgs {
  OutU32 rows;       // [N] token index of each compact row; beyond the live ones undefined
  OutU32 position;   // [N] compact row of each token, or kNoRow
  OutU32 live;       // [1 + ranges] valid rows: of the batch, then of each range
  OutU32 status;     // [kStatusWords] reset, then the bad targets
  InU32 targets;     // [N]
  InF32 weights;     // [N]
  uint tokens;       // N
  uint vocab;        // V
  uint range;        // compact rows of a range
};

struct LossGatherArgs {
  OutReal compact;   // [rows,D] x[rows[r]] in row r, r < live
  InReal x;          // [N,D]
  InU32 rows;        // [rows]
  InU32 live;        // [1]
  uint dim;
};

struct LossScatterArgs {
  OutF32 d_x;        // [N,D] d_compact[position[n] - first] in row n if that lies in the range, 0 if n has no position and
                     // first is 0
  InF32 d_compact;   // [range,D]
  InU32 position;    // [N]
  uint tokens, dim;
  uint first, range; // compact rows of d_compact
};

// State of one compact row over the chunks: kRowState floats.
const uint kRowMax = 0;        // m: the largest logit so far
const uint kRowSum = 1;        // s: sum exp(z - m)
const uint kRowTarget = 2;     // z_y
const uint kRowLogits = 3;     // sum z, for label smoothing
const uint kRowBest = 4;       // index of the largest logit, the lowest of them; exact as a float, V <= 2^24
const uint kRowLse = 5;        // m + ln s
const uint kRowState = 6;

// What one workgroup of loss_logits_*.comp finds in its strip of a row's logits: kStripState floats.
const uint kStripMax = 0, kStripSum = 1, kStripLogits = 2, kStripBest = 3;  // as kRow*; best counts from the chunk's first column
const uint kStripState = 4;

struct LossLogitsArgs {
  OutF32 logits;     // [rows,logits_stride] u = alpha x wt, before the softcap; or null
  OutF32 strips;     // [rows,strips,kStripState]
  InOutF32 state;    // [rows,kRowState] kRowTarget, when the target lies in this chunk
  InReal x;          // [N,D] by token; for coopmat2 [rows,D] as `rows` says
  InReal w;          // [cols,D] rows first_column.. of the head
  InU32 rows;        // [rows]
  InU32 live;        // [1]
  InU32 targets;     // [N] by token
  uint range, cols, dim;
  uint row_step;     // order of the rows of tiles
  uint logits_stride;
  uint first_column;
  float alpha;       // 1 / temperature
  float softcap;     // kappa; 0: none
};

struct LossCombineArgs {
  InOutF32 state;    // [rows,kRowState] takes the chunk in
  InF32 strips;      // [rows,strips,kStripState]
  InU32 rows, live, targets;
  uint strips_of_row;
  uint first_column, vocab;
};

// Gradients of logits are stored before the divisor, so in [-1, 1] times the row's weight: the products that take them bring in
// 1 / sum w. In 16 bits they are this many times as large: what f16 flushes to zero begins at 2^-33 then, what it rounds
// to less than 11 bits at 2^-22, and what overflows at 255.
const float kGradientScale = 256.0f;

// What makes gradients of logits out of logits; see shaders/loss/loss_gradient.glsl.
struct LossGradientArgs {
  InOutReal logits;    // [rows,logits_stride] u in f32 becomes the gradient of w objective by u, SPEC_C_TYPE: in 16 bits in the first half
                       // of the row
  InF32 state;         // [rows,kRowState]
  InU32 rows, live, targets;
  InF32 weights;       // [N]
  uint range, row_step;  // rows, and their order (common.glsl's spread)
  uint cols, logits_stride, first_column, vocab;
  float softcap, smoothing, z_loss;
};
// The same with a teacher.
struct LossTeacherGradientArgs {
  InOutReal logits;
  InF32 state;
  InU32 rows, live, targets;
  InF32 weights;
  InF32 teacher_logits;  // [rows,logits_stride] before the softcap
  InF32 teacher_state;   // [rows,kRowState]
  uint range, row_step;
  uint cols, logits_stride, first_column, vocab;
  float softcap, smoothing, z_loss;
  float teacher_softcap, distillation;
};
// The same from x and w again, without reading logits.
struct LossRecomputeArgs {
  OutReal gradient;    // [rows,logits_stride] as LossGradientArgs.logits is left
  InReal x;            // as in LossLogitsArgs
  InReal w;            // [cols,D]
  InF32 state;         // the rest as in LossGradientArgs
  InU32 rows, live, targets;
  InF32 weights;
  uint range, dim;
  uint row_step;       // order of the rows of tiles
  uint cols, logits_stride, first_column, vocab;
  float alpha;         // 1 / temperature
  float softcap, smoothing, z_loss;
};

// What the rows of the teacher have in common with those of the student over the chunks, e = exp(zt - m), zt the teacher's
// logits and m their maximum so far: kTeacherState floats of a compact row.
const uint kTeacherMax = 0;      // m
const uint kTeacherSum = 1;      // sum e
const uint kTeacherEntropy = 2;  // sum e (zt - m)
const uint kTeacherCross = 3;    // sum e z
const uint kTeacherKl = 4;       // sum e (zt - z)
const uint kTeacherState = 5;

struct LossTeacherArgs {
  InOutF32 sums;          // [rows,kTeacherState]
  InF32 logits;           // [rows,logits_stride] of the student, before the softcap
  InF32 teacher_logits;   // [rows,logits_stride] of the teacher, likewise
  InF32 teacher_state;    // [rows,kRowState] this chunk taken in
  InU32 live;             // [1]
  uint range, row_step;   // rows, and their order (common.glsl's spread)
  uint cols, logits_stride, first_column;
  float softcap, teacher_softcap;
};

struct LossFinishArgs {
  InF32 state;       // [N,kRowState]
  OutF32 nll;        // [N] by token, nats; 0 where there is no target
  OutF32 sums;       // [kSumCount]
  InOutU32 status;   // [kStatusWords]
  InU32 rows, position, live, targets;
  InF32 weights;     // [N]
  InF32 teacher_state, teacher_sums;  // [N,kRowState], [N,kTeacherState]; or both null
  uint tokens, vocab;
  float smoothing, z_loss, distillation;
};

// ---- attention_scalar.comp, attention_tiled.comp (f32 memory), attention_coopmat_*.comp ----
// SPEC_A_TYPE: qkv, SPEC_B_TYPE: d_attended, SPEC_C_TYPE: what is written. attention_delta.comp: A d_attended, B attended.
// qkv [N, (H + 2G)E]: a row holds the H query heads, then G key heads, then G value heads.
struct AttentionArgs {
  OutReal attended;        // [N, H*E]
  OutF32 lse;              // [B, H, T] log of the sum of exp(scores), nats
  InReal qkv;              // [N, (H + 2G)E]
  InU32 document_start;    // [N] first position, within the sequence, that a query may see; or null
  uint batch, context;     // B, T
  uint heads, kv_heads;    // H, G
  float scale;             // 1 / sqrt(E)
};

// ---- attention_delta.comp ----
struct AttentionDeltaArgs {
  OutF32 delta;            // [B, H, T] sum over E of d_attended * attended
  InReal d_attended, attended;  // [N, H*E]
  uint batch, context;
  uint heads;
};

// ---- attention_d_kv_*.comp (the key and value heads of d_qkv), attention_d_q_*.comp (its query heads) ----
struct AttentionBackwardArgs {
  OutReal d_qkv;           // [N, (H + 2G)E]
  InReal qkv, d_attended;  // [N, (H + 2G)E], [N, H*E]
  InF32 lse, delta;        // [B, H, T]
  InU32 document_start;    // as in AttentionArgs
  InF32 turns;             // RopeArgs::turns where d_q and d_k turn back (SPEC_TURNED); or null
  uint batch, context;
  uint heads, kv_heads;
  float scale;
};

// ---- column_sum.comp ----
// sum [blocks, cols] (+)= sums of values [rows, cols] over blocks of rows_per_block rows
struct ColumnSumArgs {
  InOutF32 sum;
  InReal values;
  uint rows, cols;
  uint rows_per_block;
  uint accumulate;  // 1: add to what is there
};

// ---- norm_forward*.comp, norm_backward*.comp ----
// LayerNorm, or RMSNorm without a mean (which then counts as 0). dim is a specialization constant (SPEC_WIDTH); SPEC_VARIANT as
// norm_row.glsl says.
struct NormForwardArgs {
  OutReal y;     // [rows, dim]
  OutF32 mean;   // [rows] or null
  OutF32 rstd;   // [rows]
  InF32 x;       // [rows, dim]
  InF32 weight;  // [dim]
  InF32 bias;    // [dim] or null
  uint rows;
  uint rows_per_group;  // rows a workgroup takes
  float eps;
};
struct NormBackwardArgs {
  InOutF32 d_x;        // [rows, dim]
  OutF32 weight_sums;  // [blocks, dim]
  OutF32 bias_sums;    // [blocks, dim] or null
  InReal d_y;          // [rows, dim], may be d_x where that is of the same type
  InF32 x;             // [rows, dim]
  InF32 mean;          // [rows] or null
  InF32 rstd;          // [rows]
  InF32 weight;        // [dim]
  uint rows;
  uint rows_per_block;
};

// ---- gelu_forward.comp ----
struct GeluForwardArgs {
  OutReal y;  // [count], may be x where that is of the same type
  InReal x;   // [count]
  uint count;
};

// ---- swiglu_forward.comp ----
struct SwigluForwardArgs {
  OutReal y;       // [count]
  InReal gate_up;  // [count] pairs (gate, up)
  uint count;
};

// ---- embedding_forward.comp ----
// x[n] = wte[tokens[n]] + wpe[n % context]; NaN for a token outside [0, vocab)
struct EmbeddingForwardArgs {
  OutF32 x;      // [rows, dim]
  InU32 tokens;  // [rows]
  InF32 wte;     // [vocab, dim]
  InF32 wpe;     // [context, dim] or null
  uint rows, dim, vocab, context;
};

// ---- embedding_backward.comp ----
struct EmbeddingBackwardArgs {
  InOutF32 d_wte;       // [vocab, dim]
  InF32 d_x;            // [rows, dim]
  InU32 order;          // [rows] positions sorted by token
  InU32 segment_start;  // [rows + 1] segment s is order[segment_start[s] .. segment_start[s + 1])
  InU32 segment_count;  // [1]
  InU32 tokens;         // [rows]
  uint rows, dim, vocab;
};

// ---- sequence_sum.comp ----
// sum [count] (+)= values [sequences, count] summed over sequences
struct SequenceSumArgs {
  InOutF32 sum;
  InF32 values;
  uint sequences, count;
  uint accumulate;  // 1: add to what is there
};

// ---- rope.comp ----
struct RopeArgs {
  InOutReal qkv;  // [rows, row_stride]: heads of width E (SPEC_HEAD_WIDTH); the first turned_heads of them turn
  InF32 turns;    // [>= context, E]: cosine and sine of the angle by which elements 2i and 2i + 1 turn
  uint rows, row_stride, context, turned_heads;
  float direction;  // 1 forward, -1 backward
};

// ---- add.comp ----
struct AddArgs {
  OutF32 y;  // [count], may be a or b
  InF32 a;
  InF32 b;
  uint count;
};

// ---- dropout.comp ----
struct DropoutArgs {
  OutReal y;            // [count], may be x or addend where it is f32
  InF32 x;              // [count]
  InF32 addend;         // [count] or null
  InU32 random_state;   // [4]: key, then the upper half of the counter
  uint count;
  uint stream;
  uint drop_below;      // an element whose random word is below is dropped: rate * 2^32
  float scale;          // 1 / (1 - rate)
};

// ---- square_sum.comp, gradient_norm.comp ----
struct SquareSumArgs {
  OutF32 sums;   // [blocks]
  InF32 values;  // [count]
  uint count;
  uint block;    // values of a block
};
struct GradientNormArgs {
  OutF32 result;  // [2]: norm, scale
  InF32 sums;     // [count] sums of squares
  InF32 unscale;  // [1] what takes the loss scale out of the gradients; or null: 1
  uint count;
  float clip;     // 0: off
};

// ---- adamw.comp ----
struct AdamWArgs {
  InOutF32 p, m, v;      // [count]
  InF32 g;               // [count]
  InF32 step_scalars;    // [4]: lr, 1 / (1 - beta1^t), 1 / (1 - beta2^t), apply
  InF32 norm_and_scale;  // [2] or null
  OutReal copy;          // [count] p once more, in 16 bits; or null
  uint count;
  float beta2, one_minus_beta1, one_minus_beta2;
  float eps, weight_decay;
};

// ---- bench_fma.comp ----
struct BenchFmaArgs {
  OutF32 result;  // [count] or null: nothing is done (the cost of a launch)
  uint count;     // invocations
  uint steps;     // each is 64 multiply-adds in every chain (SPEC_TILE_COLS chains)
  float scale;    // x = x * scale + shift, again and again
  float shift;
};

// ---- bench_matrix_*.comp ----
struct BenchMatrixArgs {
  OutF32 result;   // [stored, SPEC_FRAGMENT_ROWS * SPEC_FRAGMENT_COLS]
  uint stored;     // the first subgroups leave their sums
  uint steps;      // each is 16 products in every chain (SPEC_TILE_COLS chains)
  float scale;     // of the factors
};

#ifdef __cplusplus
}  // namespace lapilli::args
#endif
#endif
