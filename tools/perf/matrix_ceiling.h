#pragma once
// Peak rate of cooperative matrices (KHR) with f32 accumulators: shaders/bench/bench_matrix.comp.

#include "tools/perf/timed_program.h"

namespace lapilli {

// Whether the device has matrices in this precision whose rate can be measured. On a CPU driver it cannot: its compiler
// evaluates the constant products at compile time.
bool has_matrix_ceiling(const DeviceCaps& caps, Precision precision);

class MatrixCeiling {
 public:
  // Uses the fastest of several numbers of chains, measured interleaved. REQUIRES: has_matrix_ceiling(caps, precision).
  MatrixCeiling(KernelLibrary& kernels, Precision precision);
  MatrixCeiling(const MatrixCeiling&) = delete;

  BenchmarkCase benchmark_case() { return program_->benchmark_case(); }
  double flops() const { return flops_; }            // of one run
  const std::string& form() const { return form_; }  // "16x16x16, 8 chains"

 private:
  std::unique_ptr<TimedProgram> record(uint32_t chains, uint32_t steps) const;
  double flops_of(uint32_t chains, uint32_t steps) const;
  uint32_t steps_for(uint32_t chains, double seconds) const;  // for a run of at least this duration

  KernelLibrary& kernels_;
  Precision precision_;
  MatrixShape shape_;
  uint32_t workgroup_, groups_;
  Arena arena_;
  Tensor result_;
  std::unique_ptr<TimedProgram> program_;
  double flops_ = 0;
  std::string form_;
};

}  // namespace lapilli
