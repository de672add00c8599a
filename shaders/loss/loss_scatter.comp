#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
// d_x[n, d] = d_compact[position[n] - first, d] for the tokens whose compact row lies in the range. The first range also gives
// exactly 0 to the tokens that have none. One workgroup a token.

layout(push_constant, std430) uniform Push { LossScatterArgs args; };

void main() {
  const uint token = linear_group();
  if (token >= args.tokens) return;
  const uint position = args.position.at[token], to = token * args.dim;
  const uint from = position - args.first;  // wraps far above the range when it lies before
  if (position == kNoRow ? args.first != 0 : from >= args.range) return;
  for (uint d = gl_LocalInvocationIndex; d < args.dim; d += kWorkgroup)
    args.d_x.at[to + d] = position == kNoRow ? 0.0 : args.d_compact.at[from * args.dim + d];
}
