#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
// weight_sums[k, col] = sum of d_y * x_hat, bias_sums[k, col] = sum of d_y over the rows of block k, f32;
// x_hat = (x - mean) * rstd, mean 0 for RMSNorm.
//
// d_y (type A), x [rows, dim], sums [blocks, dim]. A workgroup takes kWorkgroup columns of one block, a lane one column, so that
// mean and rstd are read once for all lanes. Accumulators: f32, rows in ascending order. column_sum.comp adds the blocks.

layout(constant_id = SPEC_A_TYPE) const uint kDyType = kF32;
layout(push_constant, std430) uniform Push { NormWeightBackwardArgs args; };

void main() {
  const uint groups_across = (args.dim + kWorkgroup - 1) / kWorkgroup;
  const uint block = linear_group() / groups_across;
  const uint col = linear_group() % groups_across * kWorkgroup + gl_LocalInvocationIndex;
  const uint first = block * args.rows_per_block;
  if (first >= args.rows || col >= args.dim) return;
  const uint end = min(first + args.rows_per_block, args.rows);
  const bool centred = !is_null(args.mean);
  // Never null: Mesa 26.1's lavapipe reads what all lanes read alike even where the branch around it is not taken.
  InF32 means = InF32(centred ? uvec2(args.mean) : uvec2(args.rstd));

  float weight_sum = 0.0, bias_sum = 0.0;
  for (uint row = first; row < end; ++row) {
    const float mean = centred ? means.at[row] : 0.0;
    const float d_y = load_real(args.d_y, kDyType, row * args.dim + col);
    weight_sum += d_y * ((args.x.at[row * args.dim + col] - mean) * args.rstd.at[row]);
    bias_sum += d_y;
  }
  args.weight_sums.at[block * args.dim + col] = weight_sum;
  if (!is_null(args.bias_sums)) args.bias_sums.at[block * args.dim + col] = bias_sum;
}
