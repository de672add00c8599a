// What every kernel needs. Include after "#version 460".
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "shaders/args.h"

layout(constant_id = SPEC_WORKGROUP) const uint kWorkgroup = 64;
layout(constant_id = SPEC_SUBGROUP) const uint kSubgroup = 32;
layout(local_size_x_id = SPEC_WORKGROUP) in;

// Index of this workgroup; dispatches larger than the device's x limit continue in y. May lie beyond the range that was
// asked for: kernels check.
uint linear_group() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
uint linear_invocation() { return linear_group() * kWorkgroup + gl_LocalInvocationIndex; }
