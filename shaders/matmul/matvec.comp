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
const bool kWide = (kForm & 16) != 0;  // w of 16 bits, w and x begin at 8 bytes; REQUIRES: kWidth a multiple of 4
const bool kHasBias = (kForm & 4) != 0;
const bool kHasAddend = (kForm & 8) != 0;

// Columns of one load of weights: 64 bits where that is possible.
const uint kTogether = kWidth % 2 != 0 ? 1 : kWide ? 4 : 2;
// Columns of x that a subgroup holds, kTogether in each lane; a lane with rows of its own gets those of the others by broadcasts, which cost
// less than loads.
const uint kHeld = kTogether * kWorkgroup;

layout(push_constant, std430) uniform Push { MatvecArgs args; };

// Elements from `at` on, kTogether of them; missing ones are 0.
vec2 load_pair(uvec2 from, uint at) {
  if (kLoad64) return load_f32x2(InF32x2(from), at);
  return vec2(InF32(from).at[at], kTogether > 1 ? InF32(from).at[at + 1] : 0.0);
}
vec4 load_x(uint at) { return vec4(load_pair(uvec2(args.x), at), kWide ? load_pair(uvec2(args.x), at + 2) : vec2(0.0)); }
vec4 load_weights(uint at) {
  if (kWeightType == kF32) return vec4(load_pair(uvec2(args.w), at), 0.0, 0.0);
  if (kTogether == 1) return vec4(load_real(args.w, kWeightType, at), 0.0, 0.0, 0.0);
  if (!kWide) return vec4(load_halves(args.w, kWeightType, at), 0.0, 0.0);
  const uvec2 words = floatBitsToUint(load_f32x2(InF32x2(uvec2(args.w)), at / 2));
  return kWeightType == kF16 ? vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y)) : vec4(bf16_pair(words.x), bf16_pair(words.y));
}
float sum_of(vec4 sums) { return kTogether == 1 ? sums.x : kTogether == 2 ? sums.x + sums.y : sums.x + sums.y + (sums.z + sums.w); }

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
  const uint first_at = first * kWidth, second_at = second * kWidth;
  vec4 sum0 = vec4(0.0), sum1 = vec4(0.0);
  uint k = kLanesHaveRows ? 0 : kTogether * gl_LocalInvocationIndex;
  if (kLanesHaveRows) {
    for (; k + kHeld <= kWidth; k += kHeld) {
      const vec4 held = load_x(k + kTogether * gl_SubgroupInvocationID);
      [[unroll]] for (uint i = 0; i < kWorkgroup; ++i) {
        const vec4 x = subgroupBroadcast(held, i);
        sum0 = fma(load_weights(first_at + k + kTogether * i), x, sum0);
        sum1 = fma(load_weights(second_at + k + kTogether * i), x, sum1);
      }
    }
  }
  for (; k < kWidth; k += kLanesHaveRows ? kTogether : kHeld) {
    const vec4 x = load_x(k);
    sum0 = fma(load_weights(first_at + k), x, sum0);
    sum1 = fma(load_weights(second_at + k), x, sum1);
  }
  vec2 y = vec2(sum_of(sum0), sum_of(sum1));
  if (!kLanesHaveRows) y = vec2(workgroup_sum(y.x), workgroup_sum(y.y));
  y *= args.alpha;
  if (kHasBias) y += vec2(args.bias.at[first], args.bias.at[second]);
  if (kHasAddend) y += vec2(args.addend.at[first], args.addend.at[second]);
  if (kNonlinearity == kRotary && first < args.rotary_rows)
    y = rotate(y, load_cos_sin(args.cos_sin_table, args.position.at[0] * kHeadWidth + first / 2 * 2 % kHeadWidth));
  if (row < args.rows && (kLanesHaveRows || gl_LocalInvocationIndex == 0)) store(row, y);
}
