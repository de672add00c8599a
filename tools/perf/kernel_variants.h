#pragma once
// Compiles every form of every kernel that training uses on a device, by recording real programs without running them.

#include "engine/kernel/kernel.h"

namespace lapilli {

// Compiles into `kernels` the kernels of training, evaluation and generation for models of several widths and all
// strategies of the loss, and matmuls in every tile of the device. REQUIRES: a record-only device, because the models
// are large.
void compile_kernel_forms(KernelLibrary& kernels);

}  // namespace lapilli
