#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/reduce.glsl"
#include "shaders/loss/loss.glsl"
// Distillation: adds a chunk of the student's and the teacher's logits to the sums from which loss_finish.comp computes
// entropy, cross-entropy and divergence. They are relative to the teacher's maximum so far; when it grows from m to m',
// with r = exp(m - m'): sum e -> r sum e,  sum e (zt - m) -> r (sum e (zt - m) + (m - m') sum e). One workgroup per
// valid row.

layout(push_constant, std430) uniform Push { LossTeacherArgs args; };

void main() {
  const uint row = strided_permutation(linear_group(), args.row_chunk, args.permutation_step);
  if (row >= args.num_valid.at[0]) return;
  const uint base = row * args.logits_stride, sums = row * kTeacherState;
  const float m = args.teacher_state.at[row * kRowState + kRowMax];
  float s = 0.0, entropy = 0.0, cross_entropy = 0.0, kl = 0.0;
  for (uint j = gl_LocalInvocationIndex; j < args.cols; j += kWorkgroup) {
    const float z = capped(args.logits.at[base + j], args.softcap);
    const float teacher_z = capped(args.teacher_logits.at[base + j], args.teacher_softcap);
    const float e = exp(teacher_z - m);
    s += e;
    if (e == 0.0) continue;  // avoids 0 times an infinite logit
    entropy += e * (teacher_z - m);
    cross_entropy += e * z;
    kl += e * (teacher_z - z);
  }
  s = workgroup_sum(s);
  entropy = workgroup_sum(entropy);
  cross_entropy = workgroup_sum(cross_entropy);
  kl = workgroup_sum(kl);
  if (gl_LocalInvocationIndex != 0) return;
  if (args.first_column != 0) {
    const float old_m = args.sums.at[sums + kTeacherMax], old_s = args.sums.at[sums + kTeacherSum], scale = exp(old_m - m);
    s += scale * old_s;
    entropy += scale * (args.sums.at[sums + kTeacherEntropy] + (old_m - m) * old_s);
    cross_entropy += scale * args.sums.at[sums + kTeacherCross];
    kl += scale * args.sums.at[sums + kTeacherKl];
  }
  args.sums.at[sums + kTeacherMax] = m;
  args.sums.at[sums + kTeacherSum] = s;
  args.sums.at[sums + kTeacherEntropy] = entropy;
  args.sums.at[sums + kTeacherCross] = cross_entropy;
  args.sums.at[sums + kTeacherKl] = kl;
}
