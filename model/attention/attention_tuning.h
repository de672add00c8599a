#pragma once
// Which kernel a pass of attention gets, by measurement.

#include "engine/tuning/kernel_tuner.h"
#include "model/attention/attention.h"

namespace lapilli {

// The fastest kernel for the pass that is right on this device; `own` is taken where nothing is measured. `memory`: the type of qkv, and of
// what is read and written with it. Fewer sequences are measured where all would take long. The first result has to be finite, the others
// that of the first.
AttentionKernel tune_attention(KernelTuner& tuner, const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory,
                               const AttentionKernel& own);

}  // namespace lapilli
