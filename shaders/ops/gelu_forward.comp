#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
#include "shaders/common/elements.glsl"
#include "shaders/common/activation.glsl"
// y = x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), f32. x (type A), y [count], partitioned by elements.glsl.

layout(constant_id = SPEC_A_TYPE) const uint kXType = kF32;
layout(push_constant, std430) uniform Push { GeluForwardArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count / kStep); i += kWorkgroup) {
    const vec2 x = load_reals(args.x, kXType, kStep * i);
    vec2 y = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) y[j] = gelu(x[j]);
    store_reals(args.y, kStep * i, y);
  }
}
