// Partition of a flat range of elements: a workgroup takes kWorkgroup * kElements consecutive elements, over which its
// lanes stride. More than one element per lane is faster on CPU drivers, where starting a workgroup costs as much as
// some elements.
//   for (uint i = first_element(); i < end_element(count); i += kWorkgroup) ...
layout(constant_id = SPEC_ELEMENTS) const uint kElements = 1;

uint first_element() { return linear_group() * (kWorkgroup * kElements) + gl_LocalInvocationIndex; }
uint end_element(uint count) { return min((linear_group() + 1) * (kWorkgroup * kElements), count); }
