#pragma once
// All that shares of a ceiling need, measured.

#include "engine/program/profile.h"
#include "engine/memory/dtype.h"
#include "tools/perf/fma_ceiling.h"
#include "tools/perf/matrix_ceiling.h"

namespace lapilli {

enum class MeasureMemory : bool { no, yes };

// The device's multiply-adds; those of its matrices where products in `precision` are made of them and it can be known
// (has_matrix_ceiling); and the copy, if asked for. These two are 0, with a warning, where that does not work. Throws Error where multiply-adds
// do not.
Ceilings measure_ceilings(Device& device, Precision precision, MeasureMemory memory);

}  // namespace lapilli
