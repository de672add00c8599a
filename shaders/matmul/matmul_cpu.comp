#version 460
#include "shaders/common/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend) on CPU drivers, f32, any strides.
#include "shaders/matmul/matmul_cpu_load32.glsl"
#include "shaders/matmul/matmul_store.glsl"
const uint kStored = 1;
#include "shaders/matmul/matmul_cpu_store.glsl"

const uint kAtOnce = 1;
vec4 load_like_c(InReal from, uint at, uint count) { return vec4(InF32(uvec2(from)).at[at], 0.0, 0.0, 0.0); }
void store_like_c(uvec2 to, uint at, vec4 values, uint count) { OutF32(to).at[at] = values.x; }
vec4 stored_like_c(vec4 values) { return values; }
void store_gated(uvec2 to, uint at, vec2 values, uint count) {}
#include "shaders/matmul/matmul_finish.glsl"

void store_sums(uint row, uint col, float alpha, uint i, uint j) {
  const uint at = row * args.c_stride + col;
  const float bias = has_bias() ? args.bias.at[col] : 0.0;
  const float addend = has_addend() ? InF32(uvec2(args.addend)).at[at] : 0.0;
  finish(uvec2(row, col), at, vec4(alpha * sum[i][j] + bias + addend, 0.0, 0.0, 0.0), 1);
}
