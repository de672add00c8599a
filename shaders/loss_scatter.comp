#version 460
#include "shaders/common.glsl"
// d_x[n, d] = d_compact[position[n], d], exactly 0 for rows without a target. One workgroup a row.

layout(push_constant, std430) uniform Push { LossScatterArgs args; };

void main() {
  const uint token = linear_group();
  if (token >= args.tokens) return;
  const uint row = args.position.at[token], to = token * args.dim;
  for (uint d = gl_LocalInvocationIndex; d < args.dim; d += kWorkgroup)
    args.d_x.at[to + d] = row == kNoRow ? 0.0 : args.d_compact.at[row * args.dim + d];
}
