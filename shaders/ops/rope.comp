#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
#include "shaders/common/rotary.glsl"
// Rotary position embedding as a separate pass, where no matmul fuses it (matmul_finish.glsl); f32. Backward rotates by
// the opposite angle (direction -1).
//
// qkv [rows, row_stride] in place: heads of width E = kHeadWidth, even; rotates the first rotary_heads (queries and
// keys). Table [>= context, E] at row n % context. One workgroup per row of qkv, its lanes stride over the pairs. E is
// a specialization constant, so that the modulo compiles to a multiplication.

layout(constant_id = SPEC_HEAD_WIDTH) const uint kHeadWidth = 64;

layout(push_constant, std430) uniform Push { RopeArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.row_stride, cos_sin_at = row % args.context * kHeadWidth;
  for (uint col = 2 * gl_LocalInvocationIndex; col < args.rotary_heads * kHeadWidth; col += 2 * kWorkgroup) {
    InReal from = InReal(uvec2(args.qkv));
    const vec2 pair = kStep == 2 ? load_reals(from, kOutType, at + col) : vec2(load_real(from, kOutType, at + col), load_real(from, kOutType, at + col + 1));
    const vec2 cos_sin = load_cos_sin(args.cos_sin_table, cos_sin_at + col % kHeadWidth);
    const vec2 result = rotate(pair, vec2(cos_sin.x, args.direction * cos_sin.y));
    store_reals(OutReal(uvec2(args.qkv)), at + col, result);
    if (kStep == 1) store_reals(OutReal(uvec2(args.qkv)), at + col + 1, result.yx);
  }
}
