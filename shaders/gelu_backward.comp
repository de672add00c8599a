#version 460
#include "shaders/common.glsl"
#include "shaders/real.glsl"
#include "shaders/elements.glsl"
#include "shaders/activation.glsl"
// d_x = d_y * (s + x s (1 - s) z'), s = sigmoid(z), z = 2 sqrt(2/pi) (x + 0.044715 x^3), f32. d_y (type A), x (type B),
// d_x [count], shared as elements.glsl says.

layout(constant_id = SPEC_A_TYPE) const uint kDyType = kF32;
layout(constant_id = SPEC_B_TYPE) const uint kXType = kF32;
layout(push_constant, std430) uniform Push { GeluBackwardArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count / kStep); i += kWorkgroup) {
    const vec2 xs = load_reals(args.x, kXType, kStep * i), d_y = load_reals(args.d_y, kDyType, kStep * i);
    vec2 d_x = vec2(0.0);
    [[unroll]] for (uint j = 0; j < kStep; ++j) {
      const float x = xs[j];
      const Sigmoid s = sigmoid(x * (kGeluLinear + kGeluCubic * x * x));
      // Where the slope is 0, z' may have overflowed.
      const float bend = s.slope == 0.0 ? 0.0 : x * s.slope * (kGeluLinear + 3.0 * kGeluCubic * x * x);
      d_x[j] = d_y[j] * (s.value + bend);
    }
    store_reals(args.d_x, kStep * i, d_x);
  }
}
