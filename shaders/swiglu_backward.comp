#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
#include "shaders/activation.glsl"
// d_up = d_y * gate * s, d_gate = d_y * up * (s + gate * s (1 - s)), s = sigmoid(gate), f32.
// gate_up (type B), d_gate_up [rows, 2 * width]: gate in the first `width` columns; d_y (type A) [rows, width]. One workgroup a
// row, its lanes stride the columns; a lane writes only what it alone has read, so d_gate_up may be gate_up.

layout(constant_id = SPEC_A_TYPE) const uint kDyType = kF32;
layout(constant_id = SPEC_B_TYPE) const uint kGateUpType = kF32;
layout(push_constant, std430) uniform Push { SwigluBackwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.width, gate_at = row * 2 * args.width;
  for (uint col = kStep * gl_LocalInvocationIndex; col < args.width; col += kStep * kWorkgroup) {
    const vec2 gate = load_reals(args.gate_up, kGateUpType, gate_at + col);
    const vec2 up = load_reals(args.gate_up, kGateUpType, gate_at + args.width + col);
    const vec2 d_y = load_reals(args.d_y, kDyType, at + col);
    vec2 d_gate = vec2(0.0), d_up = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) {
      const Sigmoid s = sigmoid(gate[j]);
      d_gate[j] = d_y[j] * up[j] * (s.value + gate[j] * s.slope);
      d_up[j] = d_y[j] * (gate[j] * s.value);
    }
    store_reals(args.d_gate_up, gate_at + col, d_gate);
    store_reals(args.d_gate_up, gate_at + args.width + col, d_up);
  }
}
