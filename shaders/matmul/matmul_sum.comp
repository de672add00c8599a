#version 460
#include "shaders/common/common.glsl"
#include "shaders/matmul/args.h"
#include "shaders/common/elements.glsl"
#include "shaders/common/real.glsl"
// c = alpha * scale * (sum of the parts of a split-K matmul) + bias + addend.
//
// A split matmul has a depth above 0, so the scale always applies.
//
// parts f32 [splits, rows, cols], c and addend (type C) [rows, cols] with c_stride. Flat over the elements of c, kStep columns of a row
// at a time. Accumulator: f32, parts in ascending order of K.

layout(constant_id = SPEC_EPILOGUE) const uint kEpilogue = 0;
layout(push_constant, std430) uniform Push { MatmulSumArgs args; };

void main() {
  const uint steps = args.cols / kStep, count = args.rows * steps;
  const float alpha = (kEpilogue & 8) != 0 ? args.alpha * args.scale.at[0] : args.alpha;
  for (uint i = first_element(); i < end_element(count); i += kWorkgroup) {
    const uint row = i / steps, col = i % steps * kStep;
    const uint from = row * args.cols + col, to = row * args.c_stride + col;
    vec2 sum = vec2(0.0);
    for (uint split = 0; split < args.splits; ++split) {
      const uint at = split * args.rows * args.cols + from;
      sum.x += args.parts.at[at];
      if (kStep == 2) sum.y += args.parts.at[at + 1];
    }
    sum *= alpha;
    if (!is_null(args.bias)) {
      sum.x += args.bias.at[col];
      if (kStep == 2) sum.y += args.bias.at[col + 1];
    }
    if (!is_null(args.addend)) sum += load_reals(args.addend, kOutType, to);
    store_reals(args.c, to, sum);
  }
}
