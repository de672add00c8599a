#version 460
#include "shaders/common/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend) on CPU drivers, f32, with 64-bit loads, and 64-bit stores if c
// allows.
layout(constant_id = SPEC_VARIANT) const uint kVariant = 0;  // kLayout, + 4 and 8 where an odd number of elements lies from row to row of a and of b
const uint kLayout = kVariant & 3;
const bool kOddA = (kVariant & 4) != 0, kOddB = (kVariant & 8) != 0;
#include "shaders/matmul/matmul_cpu_load64.glsl"
#include "shaders/matmul/matmul_store.glsl"
const uint kStored = (kEpilogue & 4) != 0 ? kNeighbours : 1;
#include "shaders/matmul/matmul_cpu_store.glsl"

const uint kAtOnce = kStored;
vec4 load_like_c(InReal from, uint at, uint count) {
  return kAtOnce == 2 ? vec4(load_f32x2(InF32x2(uvec2(from)), at), 0.0, 0.0) : vec4(InF32(uvec2(from)).at[at], 0.0, 0.0, 0.0);
}
void store_like_c(uvec2 to, uint at, vec4 values, uint count) {
  if (kAtOnce == 2) store_f32x2(OutF32x2(to), at, values.xy);
  else OutF32(to).at[at] = values.x;
}
vec4 stored_like_c(vec4 values) { return values; }
void store_gated(uvec2 to, uint at, vec2 values, uint count) { OutF32(to).at[at] = values.x; }
#include "shaders/matmul/matmul_finish.glsl"

void store_sums(uint row, uint col, float alpha, uint i, uint j) {
  const uint at = row * args.c_stride + col;
  vec4 y = alpha * vec4(sum[i][j], sum[i][j + kAtOnce - 1], 0.0, 0.0);
  if (has_bias()) y.xy += kAtOnce == 2 ? load_f32x2(InF32x2(uvec2(args.bias)), col) : vec2(args.bias.at[col], 0.0);
  if (has_addend()) y += load_like_c(args.addend, at, kAtOnce);
  finish(uvec2(row, col), at, y, kAtOnce);
}
