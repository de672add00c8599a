#pragma once
// Kernels over a flat range of elements (shaders/common/elements.glsl): number of workgroups and of elements per lane.

#include "model/ops/ops.h"

namespace lapilli {

// Number of work items of a kernel that writes `result`: two 16-bit elements each (shaders/common/real.glsl).
inline uint64_t lanes(const ConstTensor& result, uint64_t count) { return size_bytes(result.dtype()) == 4 ? count : count / 2; }

// A CPU driver gets one subgroup and many elements per lane, because a workgroup is expensive to start there; a GPU
// gets many workgroups.
// REQUIRES: count < 2^31, the kernel strides by first_element() and end_element().
template <typename Args>
void dispatch_elements(Ops& ops, std::string_view kernel, const Args& args, uint64_t count, Cost cost, SpecConstants constants = {}) {
  const bool cpu = ops.caps().kernel_class == KernelClass::cpu && ops.row_subgroups == 0;
  const uint32_t workgroup = cpu ? ops.caps().subgroup_size : 256, elements = cpu ? 64 : 1;
  constants.push_back({args::SPEC_ELEMENTS, elements});
  ops.program.dispatch(ops.kernel(kernel, workgroup, constants), args,
                       ceil_div(count, uint64_t{workgroup} * elements), cost);
}

}  // namespace lapilli
