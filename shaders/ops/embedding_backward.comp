#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
// d_wte[v] += sum of d_x[n] over the positions n of token v, f32.
//
// d_wte [vocab, dim], d_x [rows, dim]. The positions are sorted by token: one workgroup per segment of equal tokens,
// its lanes stride over the columns, so that no two workgroups write the same row and the summation order is that of
// `order`. There are at most `rows` segments; workgroups beyond the actual number return. Accumulator: f32. Loads
// kTogether positions at the same time: a frequent token, such as a space among characters, has thousands of positions
// and a single workgroup.

const uint kTogether = 8;

layout(push_constant, std430) uniform Push { EmbeddingBackwardArgs args; };

void main() {
  const uint segment = linear_group();
  if (segment >= args.rows || segment >= args.segment_count.at[0]) return;
  const uint first = args.segment_start.at[segment], end = min(args.segment_start.at[segment + 1], args.rows);
  if (first >= end) return;
  const uint token = args.tokens.at[args.order.at[first]];
  if (token >= args.vocab) return;
  for (uint col = gl_LocalInvocationIndex; col < args.dim; col += kWorkgroup) {
    float sum = 0.0;
    uint i = first;
    for (; i + kTogether <= end; i += kTogether) {
      float together[kTogether];
      [[unroll]] for (uint k = 0; k < kTogether; ++k) together[k] = args.d_x.at[args.order.at[i + k] * args.dim + col];
      [[unroll]] for (uint k = 0; k < kTogether; ++k) sum += together[k];
    }
    for (; i < end; ++i) sum += args.d_x.at[args.order.at[i] * args.dim + col];
    args.d_wte.at[token * args.dim + col] += sum;
  }
}
