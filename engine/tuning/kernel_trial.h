#pragma once
// What trials of kernels share: an interface, memory with random numbers in it, programs that are timed, results that are read.

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "engine/memory/tensor.h"
#include "engine/program/program.h"

namespace lapilli {

// Candidates of one operation on the same numbers: one after the other is recorded, run and checked.
template <typename Candidate>
class KernelTrial {
 public:
  KernelTrial() = default;
  KernelTrial(const KernelTrial&) = delete;
  KernelTrial& operator=(const KernelTrial&) = delete;
  virtual ~KernelTrial() = default;

  // Records what the candidate does. Throws Error where it cannot.
  virtual void record(Program& program, const Candidate& candidate) = 0;
  // What record() writes; poisoned before the program runs. Empty tensors are left out.
  virtual std::vector<Tensor> outputs() const = 0;
  // After a run of the candidate: throws Error where its result is wrong, or not that of the first candidate.
  virtual void check(const Candidate& candidate) = 0;
};

// Work of one run: some tens of milliseconds for a CPU driver, for a GPU of half a TFLOP/s, and for a card of 4; ten of a faster one, where it
// is known to be that.
inline double trial_flops(const Device& device) {
  const DeviceCaps& caps = device.caps();
  const double usual = caps.kernel_class == KernelClass::scalar ? 2e9 : caps.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? 2e11 : 2e10;
  return std::max(usual, 0.01 * device.noted_flops_per_s());
}

// What fill_random() leaves in element `index` of a tensor's memory.
class RandomNumbers {
 public:
  explicit RandomNumbers(uint32_t seed);
  float operator[](uint64_t index) const { return stretch_[index % stretch_.size()]; }

 private:
  std::vector<float> stretch_;
};

// Uniform in [-1, 1), the same for the same seed, gaps between rows included. REQUIRES: memory allocated, not u32.
void fill_random(Device& device, const Tensor& tensor, uint32_t seed);
// All bits set: NaN. Of 16-bit tensors but for an odd last element.
void poison(Device& device, const Tensor& tensor);
// Runs a finished program, its outputs poisoned before.
void run_on_poison(Device& device, Program& program, const std::vector<Tensor>& outputs);
// The first and the last million elements, widened, gaps between rows included.
std::vector<float> read_ends(Device& device, const ConstTensor& tensor);

// What runs a finished program once and gives the seconds that took: the device's, where it has timestamps.
std::function<double()> timed_run(std::shared_ptr<Program> program);

}  // namespace lapilli
