#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
// (a, b) <- (a cos - b sin, a sin + b cos) for a, b = elements i and i + E/2 of each head that turns, f32; backward turns
// by the opposite angle (direction -1).
//
// qkv [rows, row_stride] in place: heads of width E = kHeadWidth; the first turned_heads (queries and keys) turn.
// cosines, sines [>= context, E/2] at row n % context. One workgroup a row of qkv, its lanes stride the pairs, E/2 a multiple
// of kStep. E is a specialization constant, so that finding the head is a multiplication.

layout(constant_id = SPEC_HEAD_WIDTH) const uint kHeadWidth = 64;
const uint kHalf = kHeadWidth / 2;

layout(push_constant, std430) uniform Push { RopeArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.row_stride, angle_at = row % args.context * kHalf;
  for (uint pair = kStep * gl_LocalInvocationIndex; pair < args.turned_heads * kHalf; pair += kStep * kWorkgroup) {
    const uint head = pair / kHalf, i = pair % kHalf;
    const uint low = at + head * kHeadWidth + i, high = low + kHalf;
    const vec2 a = load_reals(InReal(uvec2(args.qkv)), kOutType, low), b = load_reals(InReal(uvec2(args.qkv)), kOutType, high);
    vec2 turned_a = vec2(0.0), turned_b = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) {
      const float cosine = args.cosines.at[angle_at + i + j], sine = args.direction * args.sines.at[angle_at + i + j];
      turned_a[j] = a[j] * cosine - b[j] * sine;
      turned_b[j] = a[j] * sine + b[j] * cosine;
    }
    store_reals(OutReal(uvec2(args.qkv)), low, turned_a);
    store_reals(OutReal(uvec2(args.qkv)), high, turned_b);
  }
}
