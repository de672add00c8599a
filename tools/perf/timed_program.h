#pragma once
// Recorded work as a benchmark case: timed by device timestamps if available, else by the host's clock.

#include <functional>
#include <memory>

#include "model/ops/ops.h"
#include "tools/perf/timing.h"

namespace lapilli {

class TimedProgram {
 public:
  // Records `work` as many times as needed for a duration of five to ten milliseconds (at least once), so that
  // timestamp resolution, submission cost and thread wake-up do not matter. Memory used by `work` must be committed and
  // outlive the program.
  TimedProgram(KernelLibrary& kernels, std::string name, std::function<void(Ops&)> work);

  double run();  // seconds of one `work`
  // Time of one `work` in the last run by scope, the longest first. Empty on a device without timestamps.
  Profile profile() const;
  BenchmarkCase benchmark_case() {
    return {name_, [this] { return run(); }};
  }
  const std::string& name() const { return name_; }

 private:
  void record(uint32_t times);

  KernelLibrary& kernels_;
  std::string name_;
  std::function<void(Ops&)> work_;
  uint32_t times_ = 1;
  std::unique_ptr<Program> program_;
};

// Memory for benches: reserve tensors first, then commit(), which also writes their values.
class BenchMemory {
 public:
  explicit BenchMemory(Device& device) : device_(device), arena_(device.caps(), "bench") {}

  // Uniform in [-scale, scale], deterministic, a different sequence for each tensor; rounded for a 16-bit `dtype`.
  Tensor random(Shape shape, float scale = 1.0F, DType dtype = DType::f32);
  Tensor zeros(Shape shape, DType dtype = DType::f32);
  Tensor words(const std::vector<uint32_t>& values);
  Tensor floats(const std::vector<float>& values);
  Arena& arena() { return arena_; }  // for operations that reserve memory themselves; before commit()

  void commit();
  uint64_t planned_bytes() const { return arena_.planned_bytes(); }

 private:
  Tensor place(Shape shape, DType dtype, std::function<std::vector<std::byte>()> make);

  Device& device_;
  Arena arena_;
  std::vector<std::pair<Slice, std::function<std::vector<std::byte>()>>> contents_;
};

}  // namespace lapilli
