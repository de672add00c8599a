// The epilogue of a tile in blocks for f32 c.
#include "shaders/matmul/matmul_store.glsl"

const uint kAtOnce = 4;
vec4 load_like_c(InReal from, uint at, uint count) {
  vec4 values = vec4(0.0);
  [[unroll]] for (uint x = 0; x < 4; ++x)
    if (x < count) values[x] = InF32(uvec2(from)).at[at + x];
  return values;
}
void store_like_c(uvec2 to, uint at, vec4 values, uint count) {
  [[unroll]] for (uint x = 0; x < 4; ++x)
    if (x < count) OutF32(to).at[at + x] = values[x];
}
vec4 stored_like_c(vec4 values) { return values; }
void store_gated(uvec2 to, uint at, vec2 values, uint count) { store_like_c(to, at, vec4(values, 0.0, 0.0), count); }
#include "shaders/matmul/matmul_store_vec4.glsl"
