#version 460
// y = f(alpha W x + bias + addend), f32: a matrix times one vector, with W read once. What is fused (f) is as in a matmul: SPEC_NONLINEARITY
// kLinear, kGelu, kSwiglu (rows 2i and 2i + 1 are gate i and up i) or kRotary (rows 2i and 2i + 1 of a head are a pair).
//
// W [rows, kWidth] (type A), x [kWidth]. Two rows are computed together. On a GPU a workgroup, one subgroup, has two rows and its lanes stride
// over the columns, so that neighbours read neighbours. A CPU driver reads lane by lane in any case: there a lane has two rows of its own, x
// is the same for all lanes, and nothing is summed across them.
// Accumulator: f32, in the order of a lane's columns, even and odd ones apart, then a subgroup sum.
//
// kernel matvec
// kernel matvec_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/matmul/args.h"
#ifdef LOAD64
#include "shaders/common/load64.glsl"
#else
#include "shaders/common/load64_vec2.glsl"
#endif
#include "shaders/common/real.glsl"
#include "shaders/common/reduce.glsl"
#include "shaders/common/rotary.glsl"
#include "shaders/common/activation.glsl"

layout(constant_id = SPEC_A_TYPE) const uint kWeightType = kF32;
layout(constant_id = SPEC_WIDTH) const uint kWidth = 64;
layout(constant_id = SPEC_HEAD_WIDTH) const uint kHeadWidth = 64;
layout(constant_id = SPEC_NONLINEARITY) const uint kNonlinearity = kLinear;
layout(constant_id = SPEC_VARIANT) const uint kForm = 0;
const bool kLanesHaveRows = (kForm & 1) != 0;
const bool kLoad64 = (kForm & 2) != 0;  // x, and w of f32, begin at 8 bytes; REQUIRES: kWidth even
const bool kHasBias = (kForm & 4) != 0;
const bool kHasAddend = (kForm & 8) != 0;

const uint kTogether = kWidth % 2 == 0 ? 2 : 1;  // columns
const uint kStride = kTogether * (kLanesHaveRows ? 1 : kWorkgroup);

layout(push_constant, std430) uniform Push { MatvecArgs args; };

// kTogether elements from element `at` on; missing ones are 0.
vec2 load_f32(uvec2 from, uint at) {
  if (kLoad64) return load_f32x2(InF32x2(from), at);
  return vec2(InF32(from).at[at], kTogether == 2 ? InF32(from).at[at + 1] : 0.0);
}
vec2 load_weights(uint at) {
  if (kWeightType == kF32) return load_f32(uvec2(args.w), at);
  return kTogether == 2 ? load_halves(args.w, kWeightType, at) : vec2(load_real(args.w, kWeightType, at), 0.0);
}

void store(uint row, vec2 y) {
  if (kNonlinearity == kSwiglu) {
    args.y.at[row / 2] = swiglu(y);
    return;
  }
  args.y.at[row] = kNonlinearity == kGelu ? gelu(y.x) : y.x;
  if (row + 1 < args.rows) args.y.at[row + 1] = kNonlinearity == kGelu ? gelu(y.y) : y.y;
}

void main() {
  const uint pair = kLanesHaveRows ? linear_invocation() : linear_group();
  const uint row = 2 * pair;
  if (!kLanesHaveRows && row >= args.rows) return;
  const uint first = min(row, args.rows - 1), second = min(row + 1, args.rows - 1);  // lanes beyond the edge read the last row
  vec2 sum0 = vec2(0.0), sum1 = vec2(0.0);
  for (uint k = kLanesHaveRows ? 0 : kTogether * gl_LocalInvocationIndex; k < kWidth; k += kStride) {
    const vec2 x = load_f32(uvec2(args.x), k);
    sum0 = fma(load_weights(first * kWidth + k), x, sum0);
    sum1 = fma(load_weights(second * kWidth + k), x, sum1);
  }
  vec2 y = vec2(sum0.x + sum0.y, sum1.x + sum1.y);
  if (!kLanesHaveRows) y = vec2(workgroup_sum(y.x), workgroup_sum(y.y));
  y *= args.alpha;
  if (kHasBias) y += vec2(args.bias.at[first], args.bias.at[second]);
  if (kHasAddend) y += vec2(args.addend.at[first], args.addend.at[second]);
  if (kNonlinearity == kRotary && first < args.rotary_rows)
    y = rotate(y, load_cos_sin(args.cos_sin_table, args.position.at[0] * kHeadWidth + first / 2 * 2 % kHeadWidth));
  if (row < args.rows && (kLanesHaveRows || gl_LocalInvocationIndex == 0)) store(row, y);
}
