#pragma once
// Normalisation over the last dimension: LayerNorm and RMSNorm, f32; y and d_y may be stored in 16 bits (D even).
//
// x [N,D]. LayerNorm: y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(variance + eps), variance with divisor D.
// RMSNorm: y = x * rstd * weight, rstd = 1 / sqrt(mean of squares + eps). Tensors of rank above 2 are seen as
// [rows, last]. Gradients of the weights are summed in a fixed order: a rerun gives the same bits.
//
// Scratch is a float tensor of at least norm_scratch_floats(N, D) elements, used only by the call's dispatches. d_x may
// be d_y if that is f32. N * D < 2^31.

#include "model/ops/column_sum.h"

namespace lapilli {

// Invocations per row, and the blocks of rows for the sums of the weights' gradients.
uint32_t norm_workgroup(const Ops& ops, uint32_t dim);
RowBlocks norm_blocks(uint32_t rows);

uint64_t norm_scratch_floats(uint32_t rows, uint32_t dim);

void layernorm_forward(Ops& ops, Tensor y /*[N,D]*/, Tensor mean /*[N]*/, Tensor rstd /*[N]*/, ConstTensor x /*[N,D]*/, ConstTensor weight /*[D]*/,
                       ConstTensor bias /*[D] or empty*/, float eps);

// into_d_weight applies to d_weight and d_bias.
void layernorm_backward(Ops& ops, Tensor d_x /*[N,D]*/, Tensor d_weight /*[D]*/, Tensor d_bias /*[D] or empty*/, Tensor scratch,
                        ConstTensor d_y /*[N,D]*/, ConstTensor x /*[N,D]*/, ConstTensor mean /*[N]*/, ConstTensor rstd /*[N]*/,
                        ConstTensor weight /*[D]*/, Into into_d_x, Into into_d_weight);

void rmsnorm_forward(Ops& ops, Tensor y /*[N,D]*/, Tensor rstd /*[N]*/, ConstTensor x /*[N,D]*/, ConstTensor weight /*[D]*/, float eps);

void rmsnorm_backward(Ops& ops, Tensor d_x /*[N,D]*/, Tensor d_weight /*[D]*/, Tensor scratch, ConstTensor d_y /*[N,D]*/, ConstTensor x /*[N,D]*/,
                      ConstTensor rstd /*[N]*/, ConstTensor weight /*[D]*/, Into into_d_x, Into into_d_weight);

}  // namespace lapilli
