#pragma once
// Chooses the kernel of an attention pass by measurement.

#include "engine/tuning/kernel_tuner.h"
#include "model/attention/attention_kernel.h"
#include "model/ops/ops.h"

namespace lapilli {

// The types of attention_forward() and attention_backward(), passed as callbacks so that each candidate can be recorded.
using AttentionForward = void(Ops& ops, Tensor out, Tensor lse, ConstTensor qkv, ConstTensor document_start, const AttentionShape& shape);
using AttentionBackward = void(Ops& ops, Tensor d_qkv, Tensor delta, ConstTensor d_out, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                               ConstTensor document_start, ConstTensor cos_sin_table, const AttentionShape& shape);

// The fastest correct kernel for the pass on this device, or `default_kernel` if nothing was measured. `memory`: the
// type of qkv and of the tensors read and written with it. Measures fewer sequences where all would take long. The
// first result must be finite; the others must match it.
AttentionKernel tune_attention(KernelTuner& tuner, const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory,
                               const AttentionKernel& default_kernel, AttentionForward& forward, AttentionBackward& backward);

}  // namespace lapilli
