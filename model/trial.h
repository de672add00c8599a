#pragma once
// What measurements of kernels share: memory with random numbers in it, programs that are timed, results that are looked at.

#include <functional>
#include <memory>
#include <vector>

#include "engine/program.h"
#include "model/tensor.h"

namespace lapilli {

// Work of one run: some tens of milliseconds for a CPU driver, for a GPU of half a TFLOP/s, and for a card of 4.
inline double trial_flops(const DeviceCaps& caps) {
  return caps.kernel_class == KernelClass::scalar ? 2e9 : caps.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? 2e11 : 2e10;
}

// Uniform in [-1, 1), the same for the same seed, gaps between rows included. REQUIRES: memory allocated, not u32.
void fill_random(Device& device, const Tensor& tensor, uint32_t seed);
// All bits set: NaN. Of 16-bit tensors but for an odd last element.
void poison(Device& device, const Tensor& tensor);
// The first and the last million elements, widened, gaps between rows included.
std::vector<float> read_ends(Device& device, const ConstTensor& tensor);

// What runs a finished program once and gives the seconds that took: the device's, where it has timestamps.
std::function<double()> timed_run(std::shared_ptr<Program> program);

}  // namespace lapilli
