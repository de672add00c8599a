#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/common/real.glsl"
// Copies the key and value heads of positions position .. position + rows - 1 into the cache, f32. One workgroup per row, its lanes stride over
// the columns.

layout(constant_id = SPEC_A_TYPE) const uint kInType = kF32;  // of qkv
layout(push_constant, std430) uniform Push { CacheAppendArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint position = args.position.at[0] + row;
  if (position >= args.context) return;
  const uint width = 2 * args.kv_width, from = row * (args.query_width + width) + args.query_width;
  for (uint col = gl_LocalInvocationIndex; col < width; col += kWorkgroup)
    args.cache.at[position * width + col] = load_real(args.qkv, kInType, from + col);
}
