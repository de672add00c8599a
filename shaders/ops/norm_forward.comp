#version 460
// y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(mean of (x - mean)^2 + eps), f32, y rounded to its type. RMSNorm: mean
// is 0.
//
// x, y [rows, dim], dim = kWidth. A workgroup processes rows_per_group rows, one after the other (norm_row.glsl). The
// variance is computed from differences to the mean: sums of squares lose all precision when the mean is large.
// Accumulators: f32, a partial sum per lane, then a workgroup sum.
//
// kernel norm_forward
// kernel norm_forward_cpu_load64: LOAD64
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

layout(push_constant, std430) uniform Push { NormForwardArgs args; };

void main() {
  const uint first = linear_group() * args.rows_per_group;
  if (first >= args.rows) return;
  const uint end = min(first + args.rows_per_group, args.rows);
  vec2 weight[kChunks], bias[kChunks];
  load_columns(weight, uvec2(args.weight));
  if (kHasBias) load_columns(bias, uvec2(args.bias));

  for (uint row = first; row < end; ++row) {
    const uint at = row * kWidth;
    vec2 x[kChunks];
    [[unroll]] for (uint i = 0; i < kChunks; ++i) x[i] = in_row(i) ? load_f32(uvec2(args.x), at + column(i)) : vec2(0.0);
    if (kCentred) {
      float sum = 0.0;
      [[unroll]] for (uint i = 0; i < kChunks; ++i) sum += sum_of(x[i]);
      const float mean = workgroup_sum(sum) / float(kWidth);
      if (gl_LocalInvocationIndex == 0) args.mean.at[row] = mean;
      [[unroll]] for (uint i = 0; i < kChunks; ++i) x[i] = in_row(i) ? x[i] - mean : vec2(0.0);
    }
    float squares = 0.0;
    [[unroll]] for (uint i = 0; i < kChunks; ++i) squares += sum_of(x[i] * x[i]);
    const float rstd = inversesqrt(workgroup_sum(squares) / float(kWidth) + args.eps);
    if (gl_LocalInvocationIndex == 0) args.rstd.at[row] = rstd;

    [[unroll]] for (uint i = 0; i < kChunks; ++i) {
      if (!in_row(i)) break;
      vec2 y = x[i] * rstd * weight[i];
      if (kHasBias) y += bias[i];
      if (kOutType == kF32) store_f32(uvec2(args.y), at + column(i), y);
      else store_reals(args.y, at + column(i), y);
    }
  }
}
