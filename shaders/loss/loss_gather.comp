#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/real.glsl"
// compact[r, d] = x[token_of_row[r], d] for the valid rows, x of type A, compact rounded to its type. One workgroup per row: no
// division by the width.

layout(constant_id = SPEC_A_TYPE) const uint kXType = kF32;
layout(push_constant, std430) uniform Push { LossGatherArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.num_valid.at[0]) return;
  const uint from = args.token_of_row.at[row] * args.dim, to = row * args.dim;
  for (uint d = kStep * gl_LocalInvocationIndex; d < args.dim; d += kStep * kWorkgroup)
    store_reals(args.compact, to + d, load_reals(args.x, kXType, from + d));
}
