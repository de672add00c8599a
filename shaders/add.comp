#version 460
#include "shaders/common.glsl"
// y = a + b, f32. [count]; one lane an element.

layout(push_constant, std430) uniform Push { AddArgs args; };

void main() {
  const uint i = linear_invocation();
  if (i < args.count) args.y.at[i] = args.a.at[i] + args.b.at[i];
}
