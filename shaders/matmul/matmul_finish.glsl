// Sums on their way to memory, kAtOnce neighbours of a row at once.
//
// Included before: matmul_store.glsl. Declared before: kAtOnce, 1 to 4; and how a kernel reads and writes the first `count` of kAtOnce
// neighbours from element `at` on of what is laid out like c, and what it would read of values that it wrote:
//   vec4 load_like_c(InReal from, uint at, uint count), void store_like_c(uvec2 to, uint at, vec4 values, uint count),
//   vec4 stored_like_c(vec4 values)
// and how it writes the kAtOnce / 2 that kSwiglu makes of them:
//   void store_gated(uvec2 to, uint at, vec2 values, uint count)
// Where kAtOnce is 1 no pair can turn or be gated: the product stays plain (kLinear).
#include "shaders/common/activation.glsl"
#include "shaders/common/rotary.glsl"

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

// f of y = alpha * op(a) op(b) + bias + addend at row and column `place`, which is element `at` of c, and what goes to memory beside it.
// GELU takes y as backward will read it; a gradient is rounded once, behind f.
vec4 through(uvec2 place, uint at, vec4 y, uint count) {
  if (kNonlinearity == kLinear) return y;
  if (kNonlinearity == kRotary) return turned_heads(place, y);
  if (kNonlinearity == kGeluKept) store_like_c(uvec2(args.kept), at, y, count);
  const bool forward = kNonlinearity == kGelu || kNonlinearity == kGeluKept;
  const vec4 x = forward ? stored_like_c(y) : load_like_c(args.before, at, count);
  vec4 result = vec4(0.0);
  [[unroll]] for (uint i = 0; i < kAtOnce; ++i) result[i] = forward ? gelu(x[i]) : y[i] * gelu_slope(x[i]);
  return result;
}

// Of y, pairs (gate, up) of neighbouring columns: kept as backward will read them, and silu(gate) up from them.
void finish_swiglu(uint at, vec4 y, uint count) {
  store_like_c(uvec2(args.kept), at, y, count);
  const vec4 x = stored_like_c(y);
  store_gated(uvec2(args.c), at / 2, vec2(swiglu(x.xy), kAtOnce == 4 ? swiglu(x.zw) : 0.0), count / 2);
}

// The first one or two pairs from an even element `at` on, one where kAtOnce is 1.
vec4 load_pairs(InReal from, uint at, uint pairs) {
  if (kAtOnce == 4) return load_like_c(from, at, 2 * pairs);
  return kAtOnce == 2 ? vec4(load_like_c(from, at, 2).xy, load_like_c(from, at + 2, 2).xy)
                      : vec4(load_like_c(from, at, 1).x, load_like_c(from, at + 1, 1).x, 0.0, 0.0);
}
void store_pairs(uvec2 to, uint at, vec4 values, uint pairs) {
  store_like_c(to, at, values, kAtOnce == 4 ? 2 * pairs : kAtOnce);
  if (kAtOnce < 4) store_like_c(to, at + kAtOnce, kAtOnce == 2 ? vec4(values.zw, 0.0, 0.0) : vec4(values.y, 0.0, 0.0, 0.0), kAtOnce);
}
// d, gradients of what one or two pairs gave: into those of the pairs.
void finish_pairs(uint at, vec2 d, uint pairs) {
  const vec4 x = load_pairs(args.before, at, pairs);
  store_pairs(uvec2(args.c), at, vec4(swiglu_backward(d.x, x.xy), swiglu_backward(d.y, x.zw)), pairs);
}

void finish(uvec2 place, uint at, vec4 y, uint count) {
  if (kNonlinearity == kSwiglu) {
    finish_swiglu(at, y, count);
  } else if (kNonlinearity == kSwigluBackward) {
    finish_pairs(2 * at, y.xy, min(count, 2));
    if (kAtOnce == 4 && count > 2) finish_pairs(2 * at + 4, y.zw, count - 2);
  } else {
    store_like_c(uvec2(args.c), at, through(place, at, y, count), count);
  }
}
