// Sums on their way to memory, kAtOnce neighbours of a row at once.
//
// Included before: matmul_store.glsl. Declared before: kAtOnce, 1 to 4; and how a kernel reads and writes the first `count` of kAtOnce
// neighbours from element `at` on of what is laid out like c, and what it would read of values that it wrote:
//   vec4 load_like_c(InReal from, uint at, uint count), void store_like_c(uvec2 to, uint at, vec4 values, uint count),
//   vec4 stored_like_c(vec4 values)
#include "shaders/activation.glsl"

// f of y = alpha * op(a) op(b) + bias + addend from element `at` of c on, and all that goes to memory beside it. GELU takes y as backward
// will read it; a gradient is rounded once, behind f.
vec4 through(uint at, vec4 y, uint count) {
  if (kNonlinearity == kLinear) return y;
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
void finish(uint at, vec4 y, uint count) { store_like_c(uvec2(args.c), at, through(at, y, count), count); }
