#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/elements.glsl"
// sum[i] (+)= sum over b of values[b, i], f32. values [sequences, count], sum [count], partitioned by
// elements.glsl. Accumulator: f32, sequences in ascending order.

layout(push_constant, std430) uniform Push { SequenceSumArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count); i += kWorkgroup) {
    float sum = 0.0;
    for (uint b = 0; b < args.sequences; ++b) sum += args.values.at[b * args.count + i];
    args.sum.at[i] = args.accumulate != 0 ? args.sum.at[i] + sum : sum;
  }
}
