#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
// x[n] = wte[tokens[n]] + wpe[(position + n) % context], f32; NaN when the token is outside [0, vocab).
//
// x [rows, dim], wte [vocab, dim], wpe [context, dim] or null. One workgroup per row, its lanes stride over the
// columns.

layout(push_constant, std430) uniform Push { EmbeddingForwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint token = args.tokens.at[row];
  const bool known = token < args.vocab;
  const bool has_position = !is_null(args.wpe);
  const uint read = pointer_or(InU32, args.position, args.tokens).at[0], first = is_null(args.position) ? 0 : read;
  const uint at = row * args.dim, token_at = known ? token * args.dim : 0, position_at = (first + row) % args.context * args.dim;
  for (uint col = gl_LocalInvocationIndex; col < args.dim; col += kWorkgroup) {
    const float value = known ? args.wte.at[token_at + col] : uintBitsToFloat(0x7FC00000u);
    args.x.at[at + col] = has_position ? value + args.wpe.at[position_at + col] : value;
  }
}
