#version 460
#include "shaders/common.glsl"
// compact[r, d] = x[rows[r], d] for the live rows. One workgroup a row: no division by the width.

layout(push_constant, std430) uniform Push { LossGatherArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.live.at[0]) return;
  const uint from = args.rows.at[row] * args.dim, to = row * args.dim;
  for (uint d = gl_LocalInvocationIndex; d < args.dim; d += kWorkgroup) args.compact.at[to + d] = args.x.at[from + d];
}
