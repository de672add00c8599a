#pragma once
// What a device multiplies at most with cooperative matrices (KHR), f32 sums: shaders/bench/bench_matrix.glsl.

#include "tools/perf/timed_program.h"

namespace lapilli {

// Whether there are matrices in this precision whose rate can be measured. On a CPU driver it cannot: its compiler works the constant
// products out beforehand.
bool has_matrix_ceiling(const DeviceCaps& caps, Precision precision);

class MatrixCeiling {
 public:
  // Takes the fastest of some numbers of chains, tried in turn. REQUIRES: has_matrix_ceiling(caps, precision).
  MatrixCeiling(KernelLibrary& kernels, Precision precision);
  MatrixCeiling(const MatrixCeiling&) = delete;

  Contender contender() { return program_->contender(); }
  double flops() const { return flops_; }            // of one run
  const std::string& form() const { return form_; }  // "16x16x16, 8 chains"

 private:
  std::unique_ptr<TimedProgram> record(uint32_t chains, uint32_t steps) const;
  double flops_of(uint32_t chains, uint32_t steps) const;
  uint32_t steps_for(uint32_t chains, double seconds) const;  // with which a run lasts at least so long

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
