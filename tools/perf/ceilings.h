#pragma once
// Measures the ceilings of a device.

#include "engine/memory/dtype.h"
#include "engine/program/profile.h"
#include "tools/perf/fma_ceiling.h"
#include "tools/perf/matrix_ceiling.h"

namespace lapilli {

enum class MeasureMemory : bool { no, yes };

// The rate of multiply-adds; the matrix rate if matmuls in `precision` use matrices and it can be measured
// (has_matrix_ceiling); and the copy bandwidth, if requested. The last two are 0, with a warning, if the measurement
// fails. Throws Error if that of multiply-adds fails.
Ceilings measure_ceilings(Device& device, Precision precision, MeasureMemory memory);

}  // namespace lapilli
