// The GEMM epilogue: c = f(alpha * scale * op(a) op(b) + bias + addend), any strides; f (kLinear, kGelu, ... of args.h)
// in f32. The part common to all kernels; matmul_finish.glsl is its end.
#include "shaders/matmul/args.h"
layout(push_constant, std430) uniform Push { MatmulArgs args; };

// A constant, so that absent terms cost nothing: a CPU driver evaluates both sides of a condition.
layout(constant_id = SPEC_EPILOGUE) const uint kEpilogue = 1 | 2;
layout(constant_id = SPEC_NONLINEARITY) const uint kNonlinearity = kLinear;
bool has_bias() { return (kEpilogue & 1) != 0 && !is_null(args.bias); }
bool has_addend() { return (kEpilogue & 2) != 0 && !is_null(args.addend); }
uint a_row_start(uint row) { return row * args.a_row; }

Operands operands() {
  Operands o = Operands(OPERAND(uvec2(args.a)), OPERAND(uvec2(args.b)), args.rows, args.cols, args.depth, args.a_depth, args.b_depth, args.b_col);
  if (!is_null(args.num_valid)) {
    if (args.num_valid_is_depth != 0) o.depth = min(o.depth, args.num_valid.at[0]);
    else o.rows = min(o.rows, args.num_valid.at[0]);
  }
  return o;
}

// 0 if the depth is 0, whatever the scale is. The presence of a scale is a constant because of Mesa 26.1's lavapipe
// (pointer_or()).
float scaled_alpha(Operands o) { return (kEpilogue & 8) == 0 ? args.alpha : o.depth == 0 ? 0.0 : args.alpha * args.scale.at[0]; }

// First row and column of this workgroup's tile.
uvec2 tile_start(uvec2 tile_size) {
  return tile_of_group((uvec2(args.rows, args.cols) + tile_size - 1) / tile_size, args.permutation_step) * tile_size;
}

// Depth 0 with c as its own addend: c stays unchanged and need not be read.
bool leaves_c_unchanged(Operands o) { return o.depth == 0 && uvec2(args.addend) == uvec2(args.c); }
