#include "tools/ceilings.h"

namespace lapilli {

Ceilings measure_ceilings(Device& device, Precision precision, MeasureMemory memory) {
  Ceilings ceilings{.flops_per_s = measure_fma_ceiling(device)};
  KernelLibrary kernels(device);
  if (memory == MeasureMemory::yes) ceilings.bytes_per_s = measure_copy_ceiling(kernels);
  if (has_matrix_ceiling(device.caps(), precision)) {
    MatrixCeiling matrices(kernels, precision);
    const Contender contenders[] = {matrices.contender()};
    ceilings.matrix_flops_per_s = matrices.flops() / measure(contenders, {.repeats = 5})[0].median;
  }
  return ceilings;
}

}  // namespace lapilli
