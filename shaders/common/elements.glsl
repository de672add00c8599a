// How kernels over a flat range of elements share it: a workgroup takes kWorkgroup * kElements neighbours, its lanes stride
// them. More than one element a lane pays on drivers that run on a processor, where starting a workgroup costs as much as
// some elements.
//   for (uint i = first_element(); i < end_element(count); i += kWorkgroup) ...
layout(constant_id = SPEC_ELEMENTS) const uint kElements = 1;

uint first_element() { return linear_group() * (kWorkgroup * kElements) + gl_LocalInvocationIndex; }
uint end_element(uint count) { return min((linear_group() + 1) * (kWorkgroup * kElements), count); }
