#version 460
// d_x (+)= rstd * (g - mean of g - x_hat * mean of (g * x_hat)), g = d_y * weight, x_hat = (x - mean) * rstd, f32.
// RMSNorm: mean is 0 and the term "mean of g" is absent. Also the gradients of weight and bias, in the same pass over
// memory:
// weight_sums[k] = sum of d_y * x_hat, bias_sums[k] = sum of d_y over the rows of block k.
//
// d_x, d_y (type A), x [rows, dim], sums [blocks, dim], dim = kWidth. A workgroup processes a block, row by row
// (norm_row.glsl); a lane writes only elements that it alone has read, so d_x may be d_y. Accumulators: f32; per row a
// partial sum per lane, then a workgroup sum; per column the rows in ascending order. column_sum.comp adds the blocks.
//
//   bytes an element, d_y f32 (16 bits), d_x added to: x 4, d_y 4 (2), d_x 8; sums 8 / rows_per_block, written and read again.
//   With 16 columns a lane: 5 arrays of 8 vec2, 80 registers.
//
// kernel norm_backward
// kernel norm_backward_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#ifdef LOAD64
#include "shaders/common/load64.glsl"
#else
#include "shaders/common/load64_vec2.glsl"
#endif
#include "shaders/common/real.glsl"
#include "shaders/ops/norm_row.glsl"
#include "shaders/common/reduce.glsl"

layout(constant_id = SPEC_A_TYPE) const uint kDyType = kF32;
layout(push_constant, std430) uniform Push { NormBackwardArgs args; };

void main() {
  const uint block = linear_group(), first = block * args.rows_per_block;
  if (first >= args.rows) return;
  const uint end = min(first + args.rows_per_block, args.rows);
  vec2 weight[kChunks], weight_sum[kChunks], bias_sum[kChunks];
  load_columns(weight, uvec2(args.weight));
  [[unroll]] for (uint i = 0; i < kChunks; ++i) weight_sum[i] = bias_sum[i] = vec2(0.0);

  for (uint row = first; row < end; ++row) {
    const uint at = row * kWidth;
    const float mean = kCentred ? args.mean.at[row] : 0.0;
    const float rstd = args.rstd.at[row];
    vec2 g[kChunks], x_hat[kChunks];
    float sum_g = 0.0, sum_g_x_hat = 0.0;
    [[unroll]] for (uint i = 0; i < kChunks; ++i) {
      const bool there = in_row(i);
      const vec2 d_y = there ? load_typed(args.d_y, kDyType, at + column(i)) : vec2(0.0);
      x_hat[i] = there ? (load_f32(uvec2(args.x), at + column(i)) - mean) * rstd : vec2(0.0);
      g[i] = d_y * weight[i];
      weight_sum[i] += d_y * x_hat[i];
      if (kHasBias) bias_sum[i] += d_y;
      if (kCentred) sum_g += sum_of(g[i]);
      sum_g_x_hat += sum_of(g[i] * x_hat[i]);
    }
    const float mean_g = kCentred ? workgroup_sum(sum_g) / float(kWidth) : 0.0;
    const float mean_g_x_hat = workgroup_sum(sum_g_x_hat) / float(kWidth);
    [[unroll]] for (uint i = 0; i < kChunks; ++i) {
      if (!in_row(i)) break;
      vec2 d_x = rstd * (g[i] - mean_g - x_hat[i] * mean_g_x_hat);
      if (kAccumulate) d_x += load_f32(uvec2(args.d_x), at + column(i));
      store_f32(uvec2(args.d_x), at + column(i), d_x);
    }
  }

  const uint at = block * kWidth;
  [[unroll]] for (uint i = 0; i < kChunks; ++i) {
    if (!in_row(i)) break;
    store_f32(uvec2(args.weight_sums), at + column(i), weight_sum[i]);
    if (kHasBias) store_f32(uvec2(args.bias_sums), at + column(i), bias_sum[i]);
  }
}
