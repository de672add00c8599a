#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/reduce.glsl"
// result = {norm, scale}: norm = unscale sqrt(sum of sums), scale = unscale min(1, clip / (norm + 1e-6)), or unscale when clip is
// 0 or the norm is not finite; f32. sums [count], result [2]. A single workgroup, its lanes stride over the sums.

layout(push_constant, std430) uniform Push { GradientNormArgs args; };

void main() {
  if (linear_group() != 0) return;
  float sum = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < args.count; i += kWorkgroup) sum += args.sums.at[i];
  const float read = pointer_or(InF32, args.unscale, args.sums).at[0], unscale = is_null(args.unscale) ? 1.0 : read;
  const float norm = unscale * sqrt(workgroup_sum(sum));
  if (gl_LocalInvocationIndex != 0) return;
  // By its bits: a driver that assumes finite numbers may remove isinf and isnan.
  const bool finite = (floatBitsToUint(norm) & 0x7F800000u) != 0x7F800000u;
  args.result.at[0] = norm;
  args.result.at[1] = finite && args.clip > 0.0 ? unscale * min(1.0, args.clip / (norm + 1e-6)) : unscale;
}
