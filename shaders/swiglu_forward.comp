#version 460
#include "shaders/common.glsl"
#include "shaders/activation.glsl"
// y = gate * sigmoid(gate) * up, f32. gate_up [rows, 2 * width]: gate in the first `width` columns; y [rows, width].
// One workgroup a row (no division to find it), its lanes stride the columns.

layout(push_constant, std430) uniform Push { SwigluForwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.width, gate_at = row * 2 * args.width;
  for (uint col = gl_LocalInvocationIndex; col < args.width; col += kWorkgroup) {
    const float gate = args.gate_up.at[gate_at + col], up = args.gate_up.at[gate_at + args.width + col];
    args.y.at[at + col] = gate * sigmoid(gate).value * up;
  }
}
