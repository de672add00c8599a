// Arguments of the matmul kernels. See shaders/common/args.h.
#ifndef LAPILLI_SHADERS_MATMUL_ARGS_H
#define LAPILLI_SHADERS_MATMUL_ARGS_H

#include "shaders/common/args.h"

ARGS_BEGIN

// ---- matmul_*.comp ----
// c [rows,cols] = f(y), y = alpha * scale * op(a) op(b) + bias + addend, f given by SPEC_NONLINEARITY (common/args.h).
struct MatmulArgs {
  InOutReal c;      // [rows, cols], rows c_stride apart
  InReal a;         // element (row, k) at row * a_row + k * a_depth
  InReal b;         // element (k, col) at k * b_depth + col * b_col
  InF32 bias;       // [cols] or null
  InReal addend;    // laid out like c, may be c itself (accumulate); or null
  OutReal kept;     // likewise; or null
  InReal before;    // likewise; kRotary: the cos/sin table; or null
  InF32 scale;      // [1] or null: multiplied with alpha
  InU32 num_valid;       // [1] or null: number of valid rows (num_valid_is_depth = 0) or steps of K (1); others are not touched
  uint rows, cols, depth;
  uint c_stride;
  uint a_row, a_depth;
  uint b_depth, b_col;
  uint num_valid_is_depth;
  uint permutation_step;    // permutation of the rows of tiles (common.glsl's strided_permutation)
  float alpha;
};

// ---- matmul_sum.comp: sum of the parts of a split-K matmul ----
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

// ---- matvec.comp ----
struct MatvecArgs {
  OutF32 y;             // [rows]; kSwiglu: [rows / 2]
  InReal w;             // [rows, dim], of SPEC_A_TYPE; dim is SPEC_WIDTH
  InF32 x;              // [dim]
  InF32 bias;           // [rows] or null
  InF32 addend;         // [rows] or null
  InF32 cos_sin_table;  // kRotary: RopeArgs::cos_sin_table, heads of SPEC_HEAD_WIDTH
  InU32 position;       // kRotary: [1]
  uint rows;
  uint rotary_rows;  // kRotary: the first ones
  float alpha;
};

ARGS_END

#endif
