#pragma once
// Records a matmul; internal to model/matmul.

#include "model/matmul/matmul_problem.h"
#include "model/matmul/matmul_tile.h"

namespace lapilli {

// FLOPs per element of the result. For rotary see rope_flops().
double flops_of(Nonlinearity f);

// If split-K is possible, sets the tile and the number of splits so that there are at least kMinWorkgroups workgroups; else
// sets splits to 1 and leaves the tile to choose_matmul_tile().
MatmulKernel resolve_matmul_kernel(const DeviceCaps& caps, MatmulKernel kernel, const MatmulProblem& problem, const Tensor& workspace);

// Records the matmul, whole or split. REQUIRES: kernel.splits <= max_splits(), if more than 1.
void record_matmul(Ops& ops, const MatmulKernel& kernel, const MatmulProblem& problem);

}  // namespace lapilli
