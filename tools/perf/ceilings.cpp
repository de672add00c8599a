#include "tools/perf/ceilings.h"
#include "engine/base/log.h"
#include "shaders/embedded_shaders.h"

#include <functional>

namespace lapilli {

Ceilings measure_ceilings(Device& device, Precision precision, MeasureMemory memory) {
  Ceilings ceilings{.flops_per_s = measure_fma_ceiling(device)};
  KernelLibrary kernels(device, embedded_shaders());
  // A failure must not prevent the measurements that are compared with them.
  const auto try_to = [](const char* what, const std::function<void()>& measure_it) {
    try {
      measure_it();
    } catch (const Error& error) {
      log_warning("the ceiling of {} was not measured: {}", what, error.what());
    }
  };
  if (memory == MeasureMemory::yes) try_to("copies", [&] { ceilings.bytes_per_s = measure_copy_ceiling(kernels); });
  if (has_matrix_ceiling(device.caps(), precision)) {
    try_to("matrices", [&] {
      MatrixCeiling matrices(kernels, precision);
      const BenchmarkCase benchmark_cases[] = {matrices.benchmark_case()};
      ceilings.matrix_flops_per_s = matrices.flops() / measure(benchmark_cases, {.repeats = 5})[0].median;
    });
  }
  return ceilings;
}

}  // namespace lapilli
