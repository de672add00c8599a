#version 460
#include "shaders/common.glsl"
#include "shaders/activation.glsl"
// d_up = d_y * gate * s, d_gate = d_y * up * (s + gate * s (1 - s)), s = sigmoid(gate), f32.
// gate_up, d_gate_up [rows, 2 * width]: gate in the first `width` columns; d_y [rows, width]. One workgroup a row, its lanes
// stride the columns; a lane writes only what it alone has read, so d_gate_up may be gate_up.

layout(push_constant, std430) uniform Push { SwigluBackwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.width, gate_at = row * 2 * args.width;
  for (uint col = gl_LocalInvocationIndex; col < args.width; col += kWorkgroup) {
    const float gate = args.gate_up.at[gate_at + col], up = args.gate_up.at[gate_at + args.width + col];
    const float d_y = args.d_y.at[at + col];
    const Sigmoid s = sigmoid(gate);
    args.d_gate_up.at[gate_at + col] = d_y * up * (s.value + gate * s.slope);
    args.d_gate_up.at[gate_at + args.width + col] = d_y * (gate * s.value);
  }
}
