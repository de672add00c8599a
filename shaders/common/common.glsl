// What every kernel needs. Include after "#version 460".
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#include "shaders/common/args.h"

layout(constant_id = SPEC_WORKGROUP) const uint kWorkgroup = 64;
layout(constant_id = SPEC_SUBGROUP) const uint kSubgroup = 32;
layout(local_size_x_id = SPEC_WORKGROUP) in;

// Index of this workgroup; dispatches larger than the device's x limit continue in y. May exceed the requested number:
// kernels check.
uint linear_group() { return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
// A strided permutation of rows of which only the first may be valid. The stride `step` is coprime to `count` and about
// 0.6 of it, so that the valid rows are distributed evenly over the workgroups. A CPU driver gives each thread a
// contiguous range of workgroups: with the rows in order some threads would have nothing to do. Indices beyond the
// count (a folded dispatch) stay unchanged.
uint strided_permutation(uint index, uint count, uint step) { return index < count ? index * step % count : index; }
uint linear_invocation() { return linear_group() * kWorkgroup + gl_LocalInvocationIndex; }
