#version 460
#include "shaders/common.glsl"
#include "shaders/reduce.glsl"
#include "shaders/loss.glsl"
// Takes one chunk of logits into the running state of each live row (online log-sum-exp, f32):
//   m' = max(m, max z),  s' = s exp(m - m') + sum exp(z - m'),  z_y when the target lies in the chunk, sum z, argmax.
// The first chunk starts from m = -3e38, finite, so that m - m' is never NaN by itself. A NaN logit does not have to win
// the max: it stays in s, and so in the loss. One workgroup a row; two passes over the row's chunk.

layout(push_constant, std430) uniform Push { LossChunkForwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.live.at[0]) return;
  const uint base = row * args.width, state = row * kRowState;
  const bool first = args.first_column == 0;
  const float m_old = first ? -3.0e38 : args.state.at[state + kRowMax];
  const float s_old = first ? 0.0 : args.state.at[state + kRowSum];

  float m = -3.0e38;
  uint best = kNoRow;
  for (uint j = gl_LocalInvocationIndex; j < args.width; j += kWorkgroup) {
    const float z = capped(args.logits.at[base + j], args.softcap);
    if (z > m || best == kNoRow) {
      m = max(m, z);
      best = j;
    }
  }
  const float lane_max = m;
  m = workgroup_max(m);
  best = workgroup_min(lane_max == m ? best : kNoRow);
  const float m_new = max(m_old, m);

  float s = 0.0, total = 0.0;
  for (uint j = gl_LocalInvocationIndex; j < args.width; j += kWorkgroup) {
    const float z = capped(args.logits.at[base + j], args.softcap);
    s += exp(z - m_new);
    total += z;
  }
  s = workgroup_sum(s);
  total = workgroup_sum(total);

  if (gl_LocalInvocationIndex != 0) return;
  args.state.at[state + kRowMax] = m_new;
  args.state.at[state + kRowSum] = s_old * exp(m_old - m_new) + s;
  args.state.at[state + kRowLogits] = (first ? 0.0 : args.state.at[state + kRowLogits]) + total;
  if (first || m > m_old) args.state.at[state + kRowBest] = float(args.first_column + best);
  const uint target = args.targets.at[args.rows.at[row]];
  if (target >= args.first_column && target - args.first_column < args.width)
    args.state.at[state + kRowTarget] = capped(args.logits.at[base + target - args.first_column], args.softcap);
  else if (first)
    args.state.at[state + kRowTarget] = 0.0;  // a target that is not below V: the status says so
}
