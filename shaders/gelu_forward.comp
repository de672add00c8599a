#version 460
#include "shaders/common.glsl"
#include "shaders/activation.glsl"
// y = x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), f32. x, y [count]; one lane an element.

layout(push_constant, std430) uniform Push { GeluForwardArgs args; };

void main() {
  const uint i = linear_invocation();
  if (i >= args.count) return;
  const float x = args.x.at[i];
  args.y.at[i] = x * sigmoid(x * (kGeluLinear + kGeluCubic * x * x)).value;
}
