#pragma once
// Measured peak rates of the device: the reference of "share of the ceiling" in every bench and profile.

#include "engine/tuning/tuner.h"
#include "tools/perf/timed_program.h"

namespace lapilli {

class FmaCeiling {
 public:
  // Uses the fastest of several forms of shaders/bench/bench_fma.comp: measured, which takes a second or two, or cached
  // by `tuner`.
  explicit FmaCeiling(KernelLibrary& kernels, Tuner* tuner = nullptr);
  FmaCeiling(const FmaCeiling&) = delete;

  BenchmarkCase benchmark_case() { return program_->benchmark_case(); }
  double flops() const { return flops_; }            // of one run
  double flops_per_s() { return flops_ / program_->run(); }
  const std::string& form() const { return form_; }  // "8 chains, fma()"
  double run_for(double seconds) const;              // runs one dispatch of about this duration; returns its seconds

 private:
  struct Form {
    uint32_t chains;
    bool fused;
  };
  // 14 chains, shift and a product: all 16 registers of AVX2.
  static constexpr Form kForms[] = {{8, false}, {12, false}, {14, false}, {16, false}, {8, true}, {14, true}};
  size_t try_forms() const;
  size_t recall_form(Tuner& tuner) const;
  std::unique_ptr<TimedProgram> record(const Form& form, uint32_t steps) const;
  void record_steps(Ops& ops, const Form& form, uint32_t steps) const;
  double flops_of(const Form& form, uint32_t steps) const;
  uint32_t steps_for(const Form& form, double seconds) const;  // for a run of at least this duration

  KernelLibrary& kernels_;
  uint32_t workgroup_, groups_;
  Arena arena_;
  Tensor result_;
  std::unique_ptr<TimedProgram> program_;
  const Form* best_ = nullptr;
  double flops_ = 0;
  std::string form_;
};

// FLOP/s of the ceiling alone: takes some tenths of a second once the device's form is cached. Also calls
// Device::set_measured_peak().
double measure_fma_ceiling(Device& device);

// Bytes/s, read plus written, of a copy too large for caches.
double measure_copy_ceiling(KernelLibrary& kernels);

// Size of a copy that exceeds caches and fits into memory. The copy reads and writes this many bytes each.
uint64_t ceiling_copy_bytes(const DeviceCaps& caps);

// Records an empty dispatch of the same kernel; `ordered`: with a barrier between two of them.
void record_empty_dispatch(Ops& ops, Tensor result, bool ordered);

}  // namespace lapilli
