// The epilogue of products: c = f(alpha * op(a) op(b) + bias + addend), any strides; f (args.h's kLinear, kGelu, ...) in f32.
#include "shaders/activation.glsl"

layout(push_constant, std430) uniform Push { MatmulArgs args; };

// What is known not to be there costs nothing: a driver on a processor works out both sides of a condition.
layout(constant_id = SPEC_EPILOGUE) const uint kEpilogue = 3;
layout(constant_id = SPEC_NONLINEARITY) const uint kNonlinearity = kLinear;
bool has_bias() { return (kEpilogue & 1) != 0 && !is_null(args.bias); }
bool has_addend() { return (kEpilogue & 2) != 0 && !is_null(args.addend); }

uint a_row_start(uint row) { return row * args.a_row; }

Operands operands() {
  Operands o = Operands(OPERAND(uvec2(args.a)), OPERAND(uvec2(args.b)), args.rows, args.cols, args.depth, args.a_depth, args.b_depth, args.b_col);
  if (!is_null(args.live)) {
    if (args.live_is_depth != 0) o.depth = min(o.depth, args.live.at[0]);
    else o.rows = min(o.rows, args.live.at[0]);
  }
  return o;
}

// First row and column of this workgroup's tile.
uvec2 tile_start(uvec2 tile_size) {
  return tile_of_group((uvec2(args.rows, args.cols) + tile_size - 1) / tile_size, args.row_step) * tile_size;
}

// Nothing to multiply, and c is to be added to: it stays as it is, whole tiles of it unread.
bool adds_nothing(Operands o) { return o.depth == 0 && uvec2(args.addend) == uvec2(args.c); }

// How a kernel reads and writes `count` neighbours from element `at` on of what is laid out like c; and what it would read of values
// that it wrote. Each says how many at once; a count is known when the shader is compiled.
vec4 load_like_c(InReal from, uint at, uint count);
void store_like_c(uvec2 to, uint at, vec4 values, uint count);
vec4 stored_like_c(vec4 values);

// f of y = alpha * op(a) op(b) + bias + addend for `count` neighbours from element `at` of c on, and all that goes to memory beside it.
// GELU takes y as backward will read it; a gradient is rounded once, behind f.
vec4 through(uint at, vec4 y, uint count) {
  if (kNonlinearity == kLinear) return y;
  if (kNonlinearity == kGeluKept) store_like_c(uvec2(args.kept), at, y, count);
  const bool forward = kNonlinearity == kGelu || kNonlinearity == kGeluKept;
  const vec4 x = forward ? stored_like_c(y) : load_like_c(args.before, at, count);
  const vec4 up = kNonlinearity == kSwigluBackward ? load_like_c(args.before, at + args.cols, count) : vec4(0.0);
  vec4 result = vec4(0.0), d_up = vec4(0.0);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (i >= count) break;
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
