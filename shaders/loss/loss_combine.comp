#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/reduce.glsl"
#include "shaders/loss/loss.glsl"
// Merges the partial results of loss_logits_*.comp for the vocab blocks of a chunk into the state of each valid row (online
// log-sum-exp, f32):
//   m' = max(m, m_i),  s' = s exp(m - m') + sum_i s_i exp(m_i - m'),  sum z, argmax, lse = m' + ln s'.
// A NaN logit need not become the maximum: it stays in s, and so in the loss. One workgroup per row, lanes stride over
// its vocab blocks; the order of the sums is fixed.

layout(push_constant, std430) uniform Push { LossCombineArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.num_valid.at[0]) return;
  const uint base = row * args.vocab_blocks_of_row * kVocabBlockState, state = row * kRowState;
  const bool first = args.first_column == 0;
  const float m_old = first ? kLowest : args.state.at[state + kRowMax];
  const float s_old = first ? 0.0 : args.state.at[state + kRowSum];

  float lane_max = kLowest;
  uint best = kNoRow;
  for (uint i = gl_LocalInvocationIndex; i < args.vocab_blocks_of_row; i += kWorkgroup) {
    const float m = args.vocab_blocks.at[base + i * kVocabBlockState + kVocabBlockMax];
    if (m > lane_max || best == kNoRow) {  // the first vocab block of equals has the lowest index
      lane_max = max(lane_max, m);
      best = uint(args.vocab_blocks.at[base + i * kVocabBlockState + kVocabBlockBest]);
    }
  }
  const float m = workgroup_max(lane_max);
  best = workgroup_min(lane_max == m ? best : kNoRow);
  const float m_new = max(m_old, m);

  float s = 0.0, total = 0.0;
  for (uint i = gl_LocalInvocationIndex; i < args.vocab_blocks_of_row; i += kWorkgroup) {
    const uint vocab_block = base + i * kVocabBlockState;
    s += args.vocab_blocks.at[vocab_block + kVocabBlockSum] * exp(args.vocab_blocks.at[vocab_block + kVocabBlockMax] - m_new);
    total += args.vocab_blocks.at[vocab_block + kVocabBlockLogits];
  }
  s = workgroup_sum(s);
  total = workgroup_sum(total);

  if (gl_LocalInvocationIndex != 0) return;
  s += s_old * exp(m_old - m_new);
  args.state.at[state + kRowMax] = m_new;
  args.state.at[state + kRowSum] = s;
  args.state.at[state + kRowLogits] = (first ? 0.0 : args.state.at[state + kRowLogits]) + total;
  args.state.at[state + kRowLse] = m_new + log(s);
  if (first || m > m_old) args.state.at[state + kRowBest] = float(args.first_column + best);
  if (first && args.targets.at[args.token_of_row.at[row]] >= args.vocab) args.state.at[state + kRowTarget] = 0.0;  // the status says so
}
