#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
#include "shaders/common/elements.glsl"
#include "shaders/common/activation.glsl"
// y = silu(gate) up, f32. gate_up (type A) [count] pairs (gate, up), y [count], partitioned by elements.glsl.

layout(constant_id = SPEC_A_TYPE) const uint kGateUpType = kF32;
layout(push_constant, std430) uniform Push { SwigluForwardArgs args; };

// The pair that begins at element `at`.
vec2 load_gate_up(uint at) {
  const vec2 first = load_reals(args.gate_up, kGateUpType, at);
  return kStep == 2 ? first : vec2(first.x, load_reals(args.gate_up, kGateUpType, at + 1).x);
}

void main() {
  for (uint i = first_element(); i < end_element(args.count / kStep); i += kWorkgroup) {
    vec2 y = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) y[j] = swiglu(load_gate_up(2 * (kStep * i + j)));
    store_reals(args.y, kStep * i, y);
  }
}
