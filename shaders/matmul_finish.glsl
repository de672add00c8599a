// Sums on their way to memory, kAtOnce neighbours of a row at once.
//
// Included before: matmul_store.glsl. Declared before: kAtOnce, 1 to 4; and how a kernel reads and writes the first `count` of kAtOnce
// neighbours from element `at` on of what is laid out like c, and what it would read of values that it wrote:
//   vec4 load_like_c(InReal from, uint at, uint count), void store_like_c(uvec2 to, uint at, vec4 values, uint count),
//   vec4 stored_like_c(vec4 values)
// Where kAtOnce is 1 no pair can turn: the product stays plain (kLinear).
#include "shaders/activation.glsl"
#include "shaders/rotary.glsl"

layout(constant_id = SPEC_HEAD_WIDTH) const uint kHeadWidth = 2;
layout(constant_id = SPEC_CONTEXT) const uint kContext = 1;
layout(constant_id = SPEC_TURNED) const uint kTurnedCols = 0;

// A pair of columns from `place` on.
vec2 turned_pair(uvec2 place, vec2 pair) {
  const uint turn_at = place.x % kContext * kHeadWidth + place.y % kHeadWidth;
  // kAtOnce is 2 on a processor, with c in f32 like the turns: one read.
  const vec2 turn = kAtOnce == 2 ? load_like_c(args.before, turn_at, 2).xy : load_turn(InF32(uvec2(args.before)), turn_at);
  return place.y < kTurnedCols ? turned(pair, turn) : pair;
}
// Not a loop over the pairs: its index into y made lavapipe keep all sums of the tile in memory, for 1.55 times the time.
vec4 turned_heads(uvec2 place, vec4 y) {
  return vec4(turned_pair(place, y.xy), kAtOnce == 4 ? turned_pair(place + uvec2(0, 2), y.zw) : y.zw);
}

// f of y = alpha * op(a) op(b) + bias + addend at row and column `place`, which is element `at` of c, and all that goes to memory beside it.
// GELU takes y as backward will read it; a gradient is rounded once, behind f.
vec4 through(uvec2 place, uint at, vec4 y, uint count) {
  if (kNonlinearity == kLinear) return y;
  if (kNonlinearity == kRotary) return turned_heads(place, y);
  if (kNonlinearity == kGeluKept) store_like_c(uvec2(args.kept), at, y, count);
  const bool forward = kNonlinearity == kGelu || kNonlinearity == kGeluKept;
  const vec4 x = forward ? stored_like_c(y) : load_like_c(args.before, at, count);
  const vec4 up = kNonlinearity == kSwigluBackward ? load_like_c(args.before, at + args.cols, count) : vec4(0.0);
  vec4 result = vec4(0.0), d_up = vec4(0.0);
  [[unroll]] for (uint i = 0; i < kAtOnce; ++i) {
    if (forward) result[i] = gelu(x[i]);
    if (kNonlinearity == kGeluBackward) result[i] = y[i] * gelu_slope(x[i]);
    if (kNonlinearity == kSwigluBackward) {
      const vec2 d = swiglu_backward(y[i], x[i], up[i]);
      result[i] = d.x;
      d_up[i] = d.y;
    }
  }
  if (kNonlinearity == kSwigluBackward) store_like_c(uvec2(args.c), at + args.cols, d_up, count);
  return result;
}
void finish(uvec2 place, uint at, vec4 y, uint count) { store_like_c(uvec2(args.c), at, through(place, at, y, count), count); }
