// The end of the epilogue: applies f and stores, kAtOnce adjacent elements of a row at a time.
//
// Included before: matmul_store.glsl. Declared before: kAtOnce, 1 to 4; the functions that read and write the first
// `count` of kAtOnce elements from element `at` on of a tensor laid out like c, and that round values as a store and
// load would:
//   vec4 load_like_c(InReal from, uint at, uint count), void store_like_c(uvec2 to, uint at, vec4 values, uint count),
//   vec4 stored_like_c(vec4 values)
// and the function that stores the kAtOnce / 2 results of kSwiglu:
//   void store_gated(uvec2 to, uint at, vec2 values, uint count)
// With kAtOnce 1, kRotary and kSwiglu are not available: they need pairs of columns.
#include "shaders/common/activation.glsl"
#include "shaders/common/rotary.glsl"

layout(constant_id = SPEC_HEAD_WIDTH) const uint kHeadWidth = 2;
layout(constant_id = SPEC_CONTEXT) const uint kContext = 1;
layout(constant_id = SPEC_ROTARY) const uint kRotaryCols = 0;

// Rotates the pair of columns from `place` on.
vec2 rotate_pair(uvec2 place, vec2 pair) {
  const uint cos_sin_at = place.x % kContext * kHeadWidth + place.y % kHeadWidth;
  // kAtOnce is 2 on CPU drivers, where c is f32 like the cos/sin table: one 64-bit load.
  const vec2 cos_sin = kAtOnce == 2 ? load_like_c(args.before, cos_sin_at, 2).xy : load_cos_sin(InF32(uvec2(args.before)), cos_sin_at);
  return place.y < kRotaryCols ? rotate(pair, cos_sin) : pair;
}
// Not a loop over the pairs: with a dynamic index into y, lavapipe keeps all sums of the tile in memory, 1.55 times
// slower.
vec4 rotate_columns(uvec2 place, vec4 y) {
  return vec4(rotate_pair(place, y.xy), kAtOnce == 4 ? rotate_pair(place + uvec2(0, 2), y.zw) : y.zw);
}

// f(y), y = alpha * op(a) op(b) + bias + addend, at row and column `place`, element `at` of c; also stores `kept`. GELU
// uses y rounded as backward will read it; a gradient is rounded once, after f.
vec4 through(uvec2 place, uint at, vec4 y, uint count) {
  if (kNonlinearity == kLinear) return y;
  if (kNonlinearity == kRotary) return rotate_columns(place, y);
  if (kNonlinearity == kGeluKept) store_like_c(uvec2(args.kept), at, y, count);
  const bool forward = kNonlinearity == kGelu || kNonlinearity == kGeluKept;
  const vec4 x = forward ? stored_like_c(y) : load_like_c(args.before, at, count);
  vec4 result = vec4(0.0);
  [[unroll]] for (uint i = 0; i < kAtOnce; ++i) result[i] = forward ? gelu(x[i]) : y[i] * gelu_slope(x[i]);
  return result;
}

// y has pairs (gate, up) of adjacent columns: stores them for backward, and silu(gate) up of the rounded pairs.
void finish_swiglu(uint at, vec4 y, uint count) {
  store_like_c(uvec2(args.kept), at, y, count);
  const vec4 x = stored_like_c(y);
  store_gated(uvec2(args.c), at / 2, vec2(swiglu(x.xy), kAtOnce == 4 ? swiglu(x.zw) : 0.0), count / 2);
}

// Loads one or two pairs from an even element `at` on; one if kAtOnce is 1.
vec4 load_pairs(InReal from, uint at, uint pairs) {
  if (kAtOnce == 4) return load_like_c(from, at, 2 * pairs);
  return kAtOnce == 2 ? vec4(load_like_c(from, at, 2).xy, load_like_c(from, at + 2, 2).xy)
                      : vec4(load_like_c(from, at, 1).x, load_like_c(from, at + 1, 1).x, 0.0, 0.0);
}
void store_pairs(uvec2 to, uint at, vec4 values, uint pairs) {
  store_like_c(to, at, values, kAtOnce == 4 ? 2 * pairs : kAtOnce);
  if (kAtOnce < 4) store_like_c(to, at + kAtOnce, kAtOnce == 2 ? vec4(values.zw, 0.0, 0.0) : vec4(values.y, 0.0, 0.0, 0.0), kAtOnce);
}
// Stores the gradients of one or two pairs from d, the gradients of their results.
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
