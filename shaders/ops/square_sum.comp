#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/reduce.glsl"
// sums[k] = sum of squares of the values of block k, f32.
//
// values [count], sums [ceil(count / block)]. One workgroup per block, its lanes stride over the values. Accumulators:
// f32 in three
// levels (kChunk values of a lane, the lane's chunks, the workgroup), so that a value passes through few additions:
// kChunk + block / (kWorkgroup * kChunk) + kWorkgroup at most. For 2^30 values (blocks of 2^18) and 16 lanes that is 336,
// and gradient_norm.comp adds 272: a relative error of the sum below 610 * 2^-24 = 3.7e-5, of the norm half of that.

const uint kChunk = 64;

layout(push_constant, std430) uniform Push { SquareSumArgs args; };

void main() {
  const uint block = linear_group();
  const uint first = block * args.block;
  if (first >= args.count) return;
  const uint end = first + min(args.block, args.count - first);

  float sum = 0.0;
  for (uint i = first + gl_LocalInvocationIndex; i < end; i += kWorkgroup * kChunk) {
    const uint chunk_end = i + min(kWorkgroup * kChunk, end - i);
    float chunk = 0.0;
    for (uint j = i; j < chunk_end; j += kWorkgroup) {
      const float value = args.values.at[j];
      chunk += value * value;
    }
    sum += chunk;
  }
  sum = workgroup_sum(sum);
  if (gl_LocalInvocationIndex == 0) args.sums.at[block] = sum;
}
