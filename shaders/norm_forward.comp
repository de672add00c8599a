#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
#include "shaders/reduce.glsl"
// y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(mean of (x - mean)^2 + eps), f32, y rounded to its type. RMSNorm: mean
// is 0.
//
// x, y [rows, dim]. One workgroup a row, its lanes stride the columns. The variance is taken in a second pass, from
// differences to the mean: one pass over squares loses everything when the mean is large. Accumulators: f32, a partial
// sum for each lane, then the workgroup's.

layout(push_constant, std430) uniform Push { NormForwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint lane = gl_LocalInvocationIndex;
  const uint at = row * args.dim;
  const bool centred = !is_null(args.mean);

  float mean = 0.0;
  if (centred) {
    float sum = 0.0;
    for (uint col = lane; col < args.dim; col += kWorkgroup) sum += args.x.at[at + col];
    mean = workgroup_sum(sum) / float(args.dim);
    if (lane == 0) args.mean.at[row] = mean;
  }

  float squares = 0.0;
  for (uint col = lane; col < args.dim; col += kWorkgroup) {
    const float centred_x = args.x.at[at + col] - mean;
    squares += centred_x * centred_x;
  }
  const float rstd = inversesqrt(workgroup_sum(squares) / float(args.dim) + args.eps);
  if (lane == 0) args.rstd.at[row] = rstd;

  const bool has_bias = !is_null(args.bias);
  for (uint col = kStep * lane; col < args.dim; col += kStep * kWorkgroup) {
    vec2 y = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) {
      const float scaled = (args.x.at[at + col + j] - mean) * rstd * args.weight.at[col + j];
      y[j] = has_bias ? scaled + args.bias.at[col + j] : scaled;
    }
    store_reals(args.y, at + col, y);
  }
}
