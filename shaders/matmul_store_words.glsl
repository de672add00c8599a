// The epilogue of one sum where c is f32.
#include "shaders/matmul_store.glsl"

const uint kAtOnce = 1;
vec4 load_like_c(InReal from, uint at, uint count) { return vec4(InF32(uvec2(from)).at[at], 0.0, 0.0, 0.0); }
void store_like_c(uvec2 to, uint at, vec4 values, uint count) { OutF32(to).at[at] = values.x; }
vec4 stored_like_c(vec4 values) { return values; }
#include "shaders/matmul_finish.glsl"

void store(uint row, uint col, float scaled_sum) {
  const float bias = has_bias() ? args.bias.at[col] : 0.0;
  const uint at = row * args.c_stride + col;
  const float addend = has_addend() ? InF32(uvec2(args.addend)).at[at] : 0.0;
  finish(at, vec4(scaled_sum + bias + addend, 0.0, 0.0, 0.0), 1);
}
