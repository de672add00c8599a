#version 460
#include "shaders/common.glsl"
#include "shaders/loss.glsl"
// In place, one chunk of logits u becomes the gradient of the loss by u (before alpha, the temperature):
//   p = exp(z - lse),  dz = p (1 + 2 lambda lse) - (1 - eps) [column = y] - eps / V,  du = dz (1 - (z/kappa)^2) w / sum w.
// p - 1 of the target is formed here in f32. One workgroup a live row, lanes stride its columns.

layout(push_constant, std430) uniform Push { LossChunkBackwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.live.at[0]) return;
  const uint token = args.rows.at[row], base = row * args.width;
  const uint target = args.targets.at[token] - args.first_column;  // wraps far above the width when it lies before the chunk
  const float lse = args.state.at[row * kRowState + kRowLse];
  const float scale = 1.0 + 2.0 * args.z_loss * lse;
  const float everywhere = args.smoothing / float(args.vocab);
  const float weight = args.weights.at[token] * args.inverse_weight.at[0];
  for (uint j = gl_LocalInvocationIndex; j < args.width; j += kWorkgroup) {
    const float z = capped(args.logits.at[base + j], args.softcap);
    float dz = exp(z - lse) * scale;
    if (j == target) dz -= 1.0 - args.smoothing;
    args.logits.at[base + j] = (dz - everywhere) * cap_slope(z, args.softcap) * weight;
  }
}
