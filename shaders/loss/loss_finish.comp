#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/reduce.glsl"
#include "shaders/loss/loss.glsl"
// From the rows' state to the loss: nll = (m - z_y) + ln s (never -ln of a probability),
// objective = (1 - eps) nll + eps (lse - mean z) + lambda lse^2; with a teacher, whose probabilities are q,
//   entropy H = -sum q ln q,  cross-entropy C = -sum q ln p,  KL = C - H, each from separate sums (loss_teacher.comp),
// and the first two terms of the objective are weighted by 1 - beta, C by beta. Also the weighted sums of a batch. One
// workgroup; lanes stride over rows, sums are compensated (Neumaier) in each lane and added in a fixed order.

layout(push_constant, std430) uniform Push { LossFinishArgs args; };

vec2 sums[kSumCount];  // sum and compensation
shared float sums_shared[kSumCount * kSubgroups];

void add(uint which, float value) {
  const float old = sums[which].x;
  precise float sum = old + value;
  precise float lost = abs(old) >= abs(value) ? (old - sum) + value : (value - sum) + old;
  sums[which] = vec2(sum, sums[which].y + lost);
}

void main() {
  if (linear_group() != 0) return;
  for (uint i = 0; i < kSumCount; ++i) sums[i] = vec2(0.0);
  uint bad_row = kNoRow;
  for (uint n = gl_LocalInvocationIndex; n < args.tokens; n += kWorkgroup) {
    const uint row = args.row_of_token.at[n];
    if (row == kNoRow) {
      args.nll.at[n] = 0.0;
      continue;
    }
    const uint state = row * kRowState;
    const float m = args.state.at[state + kRowMax], ln_s = log(args.state.at[state + kRowSum]);
    const float lse = args.state.at[state + kRowLse];
    const float nll = (m - args.state.at[state + kRowTarget]) + ln_s;
    const float spread = lse - args.state.at[state + kRowLogits] / float(args.vocab);
    const float z_term = args.z_loss * lse * lse;
    float objective = args.smoothing == 0.0 ? nll : (1.0 - args.smoothing) * nll + args.smoothing * spread;
    float entropy = 0.0, cross_entropy = 0.0, kl = 0.0;
    if (!is_null(args.teacher_sums)) {
      const uint sums = row * kTeacherState;
      const float s = args.teacher_sums.at[sums + kTeacherSum], teacher_lse = args.teacher_state.at[state + kRowLse];
      entropy = log(s) - args.teacher_sums.at[sums + kTeacherEntropy] / s;
      cross_entropy = lse - args.teacher_sums.at[sums + kTeacherCross] / s;
      kl = args.teacher_sums.at[sums + kTeacherKl] / s + (lse - teacher_lse);
      objective = (1.0 - args.distillation) * objective + args.distillation * cross_entropy;
    }
    objective += z_term;
    args.nll.at[n] = nll;
    if (!is_finite(objective) || !is_finite(kl)) bad_row = min(bad_row, n);  // a non-finite teacher logit is visible in kl on every driver
    const float w = args.weights.at[n];
    add(kSumWeight, w);
    add(kSumNll, w * nll);
    add(kSumObjective, w * objective);
    add(kSumTop1Correct, args.state.at[state + kRowBest] == float(args.targets.at[n]) ? w : 0.0);
    add(kSumZLoss, w * z_term);
    add(kSumRows, 1.0);
    add(kSumTeacherEntropy, w * entropy);
    add(kSumTeacherCrossEntropy, w * cross_entropy);
    add(kSumTeacherKl, w * kl);
  }
  // One barrier for all sums, in the order of workgroup_sum(): lavapipe needs ten seconds to compile a kernel with many barriers.
  for (uint i = 0; i < kSumCount; ++i) {
    const float sum = subgroupAdd(sums[i].x + sums[i].y);
    if (subgroupElect()) {
      if (kSubgroups > 1) sums_shared[i * kSubgroups + gl_SubgroupID] = sum;
      else args.sums.at[i] = sum;
    }
  }
  if (kSubgroups > 1) {
    barrier();
    for (uint i = gl_LocalInvocationIndex; i < kSumCount; i += kWorkgroup) {
      float sum = sums_shared[i * kSubgroups];
      for (uint subgroup = 1; subgroup < kSubgroups; ++subgroup) sum += sums_shared[i * kSubgroups + subgroup];
      args.sums.at[i] = sum;
    }
  }
  bad_row = workgroup_min(bad_row);
  if (gl_LocalInvocationIndex == 0) args.status.at[kStatusNonFiniteRow] = bad_row;
}
