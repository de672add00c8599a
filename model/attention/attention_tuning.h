#pragma once
// Chooses the kernel of an attention pass by measurement.

#include "engine/tuning/kernel_tuner.h"
#include "model/attention/attention.h"

namespace lapilli {

// The fastest correct kernel for the pass on this device; `default_kernel`, the default, when nothing is measured. `memory`: the
// type of qkv and of the tensors read and written with it. Measures fewer sequences where all would take long. The
// first result must be finite; the others must match it.
AttentionKernel tune_attention(KernelTuner& tuner, const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory,
                               const AttentionKernel& default_kernel);

}  // namespace lapilli
