// Reductions over a workgroup: a subgroup operation, then shared memory across subgroups if there is more than one
// (compiled away otherwise). Every invocation must call, and gets the same result; the order is fixed for a device.
const uint kSubgroups = kWorkgroup / kSubgroup;
shared uint reduce_shared[kSubgroups];

// Shares the subgroups' results with all. The first barrier keeps a reduction from overwriting values of the previous
// one that a slower subgroup still reads.
void share_subgroups(uint bits) {
  barrier();
  if (subgroupElect()) reduce_shared[gl_SubgroupID] = bits;
  barrier();
}

float workgroup_sum(float value) {
  value = subgroupAdd(value);
  if (kSubgroups > 1) {
    share_subgroups(floatBitsToUint(value));
    value = uintBitsToFloat(reduce_shared[0]);
    for (uint i = 1; i < kSubgroups; ++i) value += uintBitsToFloat(reduce_shared[i]);
  }
  return value;
}

// A NaN among the values may be swallowed.
float workgroup_max(float value) {
  value = subgroupMax(value);
  if (kSubgroups > 1) {
    share_subgroups(floatBitsToUint(value));
    value = uintBitsToFloat(reduce_shared[0]);
    for (uint i = 1; i < kSubgroups; ++i) value = max(value, uintBitsToFloat(reduce_shared[i]));
  }
  return value;
}

uint workgroup_min(uint value) {
  value = subgroupMin(value);
  if (kSubgroups > 1) {
    share_subgroups(value);
    value = reduce_shared[0];
    for (uint i = 1; i < kSubgroups; ++i) value = min(value, reduce_shared[i]);
  }
  return value;
}

// Sum of the values of the invocations before this one; `total` is that of all.
uint workgroup_exclusive_sum(uint value, out uint total) {
  uint before = subgroupExclusiveAdd(value);
  total = subgroupAdd(value);
  if (kSubgroups > 1) {
    share_subgroups(total);
    total = 0;
    for (uint i = 0; i < kSubgroups; ++i) {
      if (i < gl_SubgroupID) before += reduce_shared[i];
      total += reduce_shared[i];
    }
  }
  return before;
}
