#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#include "shaders/common/real.glsl"
// delta [B,H,T] = sum over E of d_attended * attended: what softmax's backward subtracts, f32.
// One subgroup to a row; lanes stride over E, then a subgroup sum. Accumulator: f32. Each input is f32, f16 or bf16.

layout(constant_id = SPEC_A_TYPE) const uint kGradientType = kF32;  // of d_attended
layout(constant_id = SPEC_B_TYPE) const uint kAttendedType = kF32;

layout(push_constant, std430) uniform Push { AttentionDeltaArgs args; };

void main() {
  const uint row = linear_group() * (kWorkgroup / kSubgroup) + gl_SubgroupID;  // of [N, H], E wide
  if (row >= args.batch * args.context * args.heads) return;
  float sum = 0.0;
  for (uint e = gl_SubgroupInvocationID; e < kWidth; e += kSubgroup)
    sum += load_real(args.d_attended, kGradientType, row * kWidth + e) * load_real(args.attended, kAttendedType, row * kWidth + e);
  sum = subgroupAdd(sum);
  const uint token = row / args.heads, h = row % args.heads;
  const uint b = token / args.context, t = token % args.context;
  if (gl_SubgroupInvocationID == 0) args.delta.at[(b * args.heads + h) * args.context + t] = sum;
}
