#pragma once
// The device's ceilings, measured: what "share of the ceiling" means in every bench and profile.

#include "tools/timed_program.h"

namespace lapilli {

class FmaCeiling {
 public:
  // Tries some forms of shaders/bench_fma.comp in turn and keeps the fastest: half a second.
  explicit FmaCeiling(KernelLibrary& kernels);
  FmaCeiling(const FmaCeiling&) = delete;

  Contender contender() { return program_->contender(); }
  double flops() const { return flops_; }            // of one run
  const std::string& form() const { return form_; }  // "8 chains, fma()"

 private:
  struct Form {
    uint32_t chains;
    bool fused;
  };
  std::unique_ptr<TimedProgram> record(const Form& form, uint32_t steps) const;
  double flops_of(const Form& form, uint32_t steps) const;
  uint32_t steps_for(const Form& form, double seconds) const;  // with which a run lasts at least so long

  KernelLibrary& kernels_;
  uint32_t workgroup_, groups_;
  Arena arena_;
  Tensor result_;
  std::unique_ptr<TimedProgram> program_;
  double flops_ = 0;
  std::string form_;
};

// FLOP/s of the ceiling alone.
double measure_fma_ceiling(Device& device);

// Bytes/s, read and written, of a copy that is no longer in caches.
double measure_copy_ceiling(KernelLibrary& kernels);

Ceilings measure_ceilings(Device& device);

// Bytes of a copy that leaves caches behind, and fits. The copy reads and writes as many.
uint64_t ceiling_copy_bytes(const DeviceCaps& caps);

// A dispatch of the same kernel that does nothing; `ordered` puts a barrier between two of them.
void record_empty_dispatch(Ops& ops, Tensor result, bool ordered);

}  // namespace lapilli
