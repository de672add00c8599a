#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
#include "shaders/activation.glsl"
// y = gate * sigmoid(gate) * up, f32. gate_up (type A) [rows, 2 * width]: gate in the first `width` columns; y [rows, width].
// One workgroup a row (no division to find it), its lanes stride the columns.

layout(constant_id = SPEC_A_TYPE) const uint kGateUpType = kF32;
layout(push_constant, std430) uniform Push { SwigluForwardArgs args; };

void main() {
  const uint row = linear_group();
  if (row >= args.rows) return;
  const uint at = row * args.width, gate_at = row * 2 * args.width;
  for (uint col = kStep * gl_LocalInvocationIndex; col < args.width; col += kStep * kWorkgroup) {
    const vec2 gate = load_reals(args.gate_up, kGateUpType, gate_at + col);
    const vec2 up = load_reals(args.gate_up, kGateUpType, gate_at + args.width + col);
    vec2 y = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) y[j] = swiglu(gate[j], up[j]);
    store_reals(args.y, at + col, y);
  }
}
