#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
// sum[k, col] (+)= sum of values[row, col] over the rows of block k, f32.
//
// values (type A) [rows, cols], sum [blocks, cols]. A workgroup takes kWorkgroup columns of one block, a lane one column, so that
// adjacent lanes read adjacent elements. Accumulator: f32, rows in ascending order. Two dispatches (blocks of rows,
// then one block of their sums) give a column sum that uses the whole device and has a fixed order.

layout(constant_id = SPEC_A_TYPE) const uint kType = kF32;
layout(push_constant, std430) uniform Push { ColumnSumArgs args; };

void main() {
  const uint groups_across = (args.cols + kWorkgroup - 1) / kWorkgroup;
  const uint block = linear_group() / groups_across;
  const uint col = linear_group() % groups_across * kWorkgroup + gl_LocalInvocationIndex;
  const uint first = block * args.rows_per_block;
  if (first >= args.rows || col >= args.cols) return;
  const uint end = min(first + args.rows_per_block, args.rows);

  float sum = 0.0;
  for (uint row = first; row < end; ++row) sum += load_real(args.values, kType, row * args.cols + col);

  const uint at = block * args.cols + col;
  args.sum.at[at] = args.accumulate != 0 ? args.sum.at[at] + sum : sum;
}
