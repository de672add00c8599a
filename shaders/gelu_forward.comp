#version 460
#include "shaders/common.glsl"
#include "shaders/elements.glsl"
#include "shaders/activation.glsl"
// y = x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), f32. x, y [count], shared as elements.glsl says.

layout(push_constant, std430) uniform Push { GeluForwardArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count); i += kWorkgroup) {
    const float x = args.x.at[i];
    args.y.at[i] = x * sigmoid(x * (kGeluLinear + kGeluCubic * x * x)).value;
  }
}
