#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
#include "shaders/common/elements.glsl"
// AdamW (Loshchilov and Hutter 2019), in PyTorch's order of operations, f32:
//   p -= lr wd p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2;
//   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps), with g the gradient times the clipping scale.
//
// p, m, v, g [count], partitioned by elements.glsl, kStep at once; copy [count], if given: p rounded. Changes nothing
// when `apply` is 0 or the gradient norm is not finite.

layout(push_constant, std430) uniform Push { AdamWArgs args; };

void main() {
  if (args.step_scalars.at[3] == 0.0) return;
  const bool clipped = !is_null(args.norm_and_scale);
  InF32 clipping = pointer_or(InF32, args.norm_and_scale, args.step_scalars);
  const float norm = clipping.at[0], factor = clipping.at[1];
  if (clipped && (floatBitsToUint(norm) & 0x7F800000u) == 0x7F800000u) return;
  const float scale = clipped ? factor : 1.0;
  const float lr = args.step_scalars.at[0];
  const float step_size = lr * args.step_scalars.at[1];
  const float v_correction = sqrt(args.step_scalars.at[2]);

  const float keep = 1.0 - lr * args.weight_decay;

  for (uint step = first_element(); step < end_element(args.count / kStep); step += kWorkgroup) {
    vec2 p = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) {
      const uint i = kStep * step + j;
      const float g = args.g.at[i] * scale;
      const float decayed = args.p.at[i] * keep;
      const float m_old = args.m.at[i];
      const float m = m_old + args.one_minus_beta1 * (g - m_old);
      const float v = args.beta2 * args.v.at[i] + args.one_minus_beta2 * g * g;
      args.m.at[i] = m;
      args.v.at[i] = v;
      p[j] = decayed - step_size * (m / (sqrt(v) * v_correction + args.eps));
      args.p.at[i] = p[j];
    }
    if (kOutType != kF32) store_reals(args.copy, kStep * step, p);
  }
}
