#version 460
#include "shaders/common.glsl"
// d_x[n, d] = d_compact[position[n], d], exactly 0 for rows without a target. One lane an element.

layout(push_constant, std430) uniform Push { LossScatterArgs args; };

void main() {
  const uint at = linear_invocation();
  const uint row = at / args.dim;
  if (row >= args.tokens) return;
  const uint from = args.position.at[row];
  args.d_x.at[at] = from == kNoRow ? 0.0 : args.d_compact.at[from * args.dim + at % args.dim];
}
