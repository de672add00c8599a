#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/elements.glsl"
// y = a + b, f32. [count], partitioned by elements.glsl.

layout(push_constant, std430) uniform Push { AddArgs args; };

void main() {
  for (uint i = first_element(); i < end_element(args.count); i += kWorkgroup) args.y.at[i] = args.a.at[i] + args.b.at[i];
}
