#pragma once
// Shared by all kernel trials: the interface, random inputs, timed programs, read-back of results.

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "engine/memory/tensor.h"
#include "engine/program/program.h"

namespace lapilli {

// Candidates of one operation on the same inputs. They are recorded, run and checked one after the other.
template <typename Candidate>
class KernelTrial {
 public:
  KernelTrial() = default;
  KernelTrial(const KernelTrial&) = delete;
  KernelTrial& operator=(const KernelTrial&) = delete;
  virtual ~KernelTrial() = default;

  // Records the operation with this candidate. Throws Error when it cannot.
  virtual void record(Program& program, const Candidate& candidate) = 0;
  // The tensors that record() writes; poisoned before the program runs. Empty tensors are ignored.
  virtual std::vector<Tensor> outputs() const = 0;
  // After a run of the candidate: throws Error when its result is wrong or differs from the first candidate's.
  virtual void check(const Candidate& candidate) = 0;
};

// FLOPs of one run: some tens of milliseconds on a CPU driver, on a GPU of 0.5 TFLOP/s and on a discrete GPU of 4
// TFLOP/s; 10 ms on a faster device whose peak has been measured.
inline double trial_flops(const Device& device) {
  const DeviceCaps& caps = device.caps();
  const double usual = caps.kernel_class == KernelClass::cpu ? 2e9 : caps.type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? 2e11 : 2e10;
  return std::max(usual, 0.01 * device.measured_peak_flops_per_s());
}

// The value that fill_random() writes to element `index` of a tensor's memory.
class RandomNumbers {
 public:
  explicit RandomNumbers(uint32_t seed);
  float operator[](uint64_t index) const { return stretch_[index % stretch_.size()]; }

 private:
  std::vector<float> stretch_;
};

// Uniform in [-1, 1), the same for the same seed; also fills gaps between rows. REQUIRES: memory allocated, not u32.
void fill_random(Device& device, const Tensor& tensor, uint32_t seed);
// Fills with all bits set, a NaN. Skips an odd last element of a 16-bit tensor.
void poison(Device& device, const Tensor& tensor);
// Poisons the outputs and runs a finished program.
void run_with_poisoned_outputs(Device& device, Program& program, const std::vector<Tensor>& outputs);
// The first and the last million elements, as f32, including gaps between rows.
std::vector<float> read_ends(Device& device, const ConstTensor& tensor);

// A function that runs a finished program once and returns the seconds it took: device time if there are timestamps.
std::function<double()> timed_run(std::shared_ptr<Program> program);

}  // namespace lapilli
