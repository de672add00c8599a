#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
#include "shaders/reduce.glsl"
// d_x (+)= rstd * (g - mean of g - x_hat * mean of (g * x_hat)), g = d_y * weight, x_hat = (x - mean) * rstd, f32.
// RMSNorm: mean is 0 and the term "mean of g" is absent.
//
// d_x, d_y (type A), x [rows, dim]. One workgroup a row, its lanes stride the columns; a lane writes only what it alone has read, so
// d_x may be d_y. Accumulators: f32, a partial sum for each lane, then the workgroup's.

layout(constant_id = SPEC_A_TYPE) const uint kDyType = kF32;
layout(push_constant, std430) uniform Push { NormBackwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint lane = gl_LocalInvocationIndex;
  const uint at = row * args.dim;
  const bool centred = !is_null(args.mean);
  const float mean = centred ? args.mean.at[row] : 0.0;
  const float rstd = args.rstd.at[row];

  float sum_g = 0.0, sum_g_x_hat = 0.0;
  for (uint col = lane; col < args.dim; col += kWorkgroup) {
    const float g = load_real(args.d_y, kDyType, at + col) * args.weight.at[col];
    sum_g += g;
    sum_g_x_hat += g * ((args.x.at[at + col] - mean) * rstd);
  }
  const float mean_g = centred ? workgroup_sum(sum_g) / float(args.dim) : 0.0;
  const float mean_g_x_hat = workgroup_sum(sum_g_x_hat) / float(args.dim);

  for (uint col = lane; col < args.dim; col += kWorkgroup) {
    const float g = load_real(args.d_y, kDyType, at + col) * args.weight.at[col];
    const float x_hat = (args.x.at[at + col] - mean) * rstd;
    const float d_x = rstd * (g - mean_g - x_hat * mean_g_x_hat);
    args.d_x.at[at + col] = args.accumulate != 0 ? args.d_x.at[at + col] + d_x : d_x;
  }
}
