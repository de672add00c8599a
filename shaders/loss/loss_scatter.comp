#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
// d_x[n, d] = d_compact[row_of_token[n] - first, d] for the tokens whose compact row is in the row chunk. The first row
// chunk also writes exactly 0 for the tokens without one. One workgroup per token.

layout(push_constant, std430) uniform Push { LossScatterArgs args; };

void main() {
  const uint token = linear_group();
  if (token >= args.tokens) return;
  const uint compact_row = args.row_of_token.at[token], to = token * args.dim;
  const uint from = compact_row - args.first;  // wraps to a large value if it is before the row chunk
  if (compact_row == kNoRow ? args.first != 0 : from >= args.row_chunk) return;
  for (uint d = gl_LocalInvocationIndex; d < args.dim; d += kWorkgroup)
    args.d_x.at[to + d] = compact_row == kNoRow ? 0.0 : args.d_compact.at[from * args.dim + d];
}
