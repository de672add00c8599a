#pragma once
// Recorded work as a contender: timed by the device's own timestamps where it has them, else by the clock around it.

#include <functional>
#include <memory>

#include "model/ops/ops.h"
#include "tools/perf/timing.h"

namespace lapilli {

class TimedProgram {
 public:
  // Records `work` as often as it takes to last five to ten milliseconds, so that a timestamp's grain, the cost of a
  // submission and the waking of a processor's threads do not matter; at least once. What `work` uses must be committed,
  // and outlive the program.
  TimedProgram(KernelLibrary& kernels, std::string name, std::function<void(Ops&)> work);

  double run();  // seconds of one `work`
  // Where the time of one `work` went in the last run, a span for each scope, the longest first. Empty on a device without
  // timestamps.
  Profile profile() const;
  Contender contender() {
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

// Memory for benches: reserve first, commit, then fill what must not be arbitrary bits.
class BenchMemory {
 public:
  explicit BenchMemory(Device& device) : device_(device), arena_(device.caps(), "bench") {}

  // Uniform in [-scale, scale], the same every time, another sequence for each tensor; rounded where `dtype` has 16 bits.
  Tensor random(Shape shape, float scale = 1.0F, DType dtype = DType::f32);
  Tensor zeros(Shape shape, DType dtype = DType::f32);
  Tensor words(const std::vector<uint32_t>& values);
  Tensor floats(const std::vector<float>& values);
  Arena& arena() { return arena_; }  // for operations that reserve their own; before commit()

  void commit();
  uint64_t planned_bytes() const { return arena_.planned_bytes(); }

 private:
  Tensor place(Shape shape, DType dtype, std::function<std::vector<std::byte>()> make);

  Device& device_;
  Arena arena_;
  std::vector<std::pair<Slice, std::function<std::vector<std::byte>()>>> contents_;
};

}  // namespace lapilli
