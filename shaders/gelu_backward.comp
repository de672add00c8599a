#version 460
#include "shaders/common.glsl"
#include "shaders/elements.glsl"
#include "shaders/activation.glsl"
// d_x = d_y * (s + x s (1 - s) z'), s = sigmoid(z), z = 2 sqrt(2/pi) (x + 0.044715 x^3), f32. [count], shared as
// elements.glsl says.

layout(push_constant, std430) uniform Push { GeluBackwardArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count); i += kWorkgroup) {
    const float x = args.x.at[i];
    const Sigmoid s = sigmoid(x * (kGeluLinear + kGeluCubic * x * x));
    // Where the slope is 0, z' may have overflowed.
    const float bend = s.slope == 0.0 ? 0.0 : x * s.slope * (kGeluLinear + 3.0 * kGeluCubic * x * x);
    args.d_x.at[i] = args.d_y.at[i] * (s.value + bend);
  }
}
