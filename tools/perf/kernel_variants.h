#pragma once
// Every form of every kernel that training uses on a device, without a list of them: real programs are recorded, and none is run.

#include "engine/kernel/kernel.h"

namespace lapilli {

// Compiles into `kernels` what training, evaluation and generation record for models of several widths and all strategies of
// the loss, and the matrix products in every tile the device can run. REQUIRES: a device that only records; the models are large.
void compile_kernel_forms(KernelLibrary& kernels);

}  // namespace lapilli
