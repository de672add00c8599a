// What every kernel needs. Include after "#version 460".
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "shaders/common/args.h"

layout(constant_id = SPEC_WORKGROUP) const uint kWorkgroup = 64;
layout(constant_id = SPEC_SUBGROUP) const uint kSubgroup = 32;
layout(local_size_x_id = SPEC_WORKGROUP) in;

// Index of this workgroup; dispatches larger than the device's x limit continue in y. May lie beyond the range that was
// asked for: kernels check.
uint linear_group() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
// An order for rows of which only the first may count: in steps of `step`, coprime to `count`, of about 0.6 of it, those that do
// are spread evenly over the workgroups. A driver on a processor gives each thread one stretch of workgroups, and with the rows
// in order some threads would have nothing to do. What lies beyond the count (a folded dispatch) stays beyond.
uint spread(uint index, uint count, uint step) { return index < count ? index * step % count : index; }
uint linear_invocation() { return linear_group() * kWorkgroup + gl_LocalInvocationIndex; }
