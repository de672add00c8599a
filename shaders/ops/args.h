// Arguments of the remaining kernels: norms, embedding, elementwise, optimizer. See shaders/common/args.h.
#ifndef LAPILLI_SHADERS_OPS_ARGS_H
#define LAPILLI_SHADERS_OPS_ARGS_H

#include "shaders/common/args.h"

ARGS_BEGIN

// ---- column_sum.comp ----
// sum [blocks, cols] (+)= sums of values [rows, cols] over blocks of rows_per_block rows
struct ColumnSumArgs {
  InOutF32 sum;
  InReal values;
  uint rows, cols;
  uint rows_per_block;
  uint accumulate;  // 1: add to what is there
};

// ---- norm_forward.comp, norm_backward.comp ----
// LayerNorm, or RMSNorm without a mean (which is then 0). dim is a specialization constant (SPEC_WIDTH); SPEC_VARIANT:
// see norm_row.glsl.
struct NormForwardArgs {
  OutReal y;     // [rows, dim]
  OutF32 mean;   // [rows] or null
  OutF32 rstd;   // [rows]
  InF32 x;       // [rows, dim]
  InF32 weight;  // [dim]
  InF32 bias;    // [dim] or null
  uint rows;
  uint rows_per_group;  // rows per workgroup
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
// x[n] = wte[tokens[n]] + wpe[(position + n) % context]; NaN for a token outside [0, vocab)
struct EmbeddingForwardArgs {
  OutF32 x;      // [rows, dim]
  InU32 tokens;  // [rows]
  InF32 wte;     // [vocab, dim]
  InF32 wpe;     // [context, dim] or null
  InU32 position;  // [1] that of the first row; or null: 0
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
  InOutReal qkv;  // [rows, row_stride]: heads of width E (SPEC_HEAD_WIDTH); rotates the first rotary_heads of them
  InF32 cos_sin_table;    // [>= context, E]: cosine and sine of the rotation angle of elements 2i and 2i + 1
  uint rows, row_stride, context, rotary_heads;
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
  InF32 unscale;  // [1] inverse loss scale of the gradients; or null: 1
  uint count;
  float clip;     // 0: off
};

// ---- adamw.comp ----
struct AdamWArgs {
  InOutF32 p, m, v;      // [count]
  InF32 g;               // [count]
  InF32 step_scalars;    // [4]: lr, 1 / (1 - beta1^t), 1 / (1 - beta2^t), apply
  InF32 norm_and_scale;  // [2] or null
  OutReal copy;          // [count] 16-bit shadow weights of p; or null
  uint count;
  float beta2, one_minus_beta1, one_minus_beta2;
  float eps, weight_decay;
};

ARGS_END

#endif
