#version 460
#include "shaders/common.glsl"
// compact[r, d] = x[rows[r], d] for the live rows. One lane an element.

layout(push_constant, std430) uniform Push { LossGatherArgs args; };

void main() {
  const uint at = linear_invocation();
  const uint row = at / args.dim;
  if (row >= min(args.live.at[0], args.tokens)) return;
  args.compact.at[at] = args.x.at[args.rows.at[row] * args.dim + at % args.dim];
}
