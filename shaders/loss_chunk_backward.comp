#version 460
#include "shaders/common.glsl"
#include "shaders/loss.glsl"
// In place, one chunk of logits u becomes the gradient of the loss by u (before alpha, the temperature):
//   p = exp(z - lse),  dz = p (1 + 2 lambda lse) - (1 - eps) [column = y] - eps / V,  du = dz (1 - (z/kappa)^2) w / sum w.
// p - 1 of the target is formed here in f32. One lane an element of the live rows.

layout(push_constant, std430) uniform Push { LossChunkBackwardArgs args; };

void main() {
  const uint at = linear_invocation();
  const uint row = at / args.width;
  if (row >= args.live.at[0]) return;
  const uint column = args.first_column + at % args.width;
  const uint token = args.rows.at[row];
  const float lse = args.state.at[row * kRowState + kRowLse];
  const float z = capped(args.logits.at[at], args.softcap);
  float dz = exp(z - lse) * (1.0 + 2.0 * args.z_loss * lse);
  if (column == args.targets.at[token]) dz -= 1.0 - args.smoothing;
  dz -= args.smoothing / float(args.vocab);
  args.logits.at[at] = dz * cap_slope(z, args.softcap) * (args.weights.at[token] * args.inverse_weight.at[0]);
}
