#pragma once
// The device's ceilings, measured: what "share of the ceiling" means in every bench and profile.

#include "engine/tuning/tuner.h"
#include "tools/perf/timed_program.h"

namespace lapilli {

class FmaCeiling {
 public:
  // Takes the fastest of some forms of shaders/bench/bench_fma.comp: tried in turn, which takes a second or two, or the one that
  // `tuner` remembers.
  explicit FmaCeiling(KernelLibrary& kernels, Tuner* tuner = nullptr);
  FmaCeiling(const FmaCeiling&) = delete;

  Contender contender() { return program_->contender(); }
  double flops() const { return flops_; }            // of one run
  double flops_per_s() { return flops_ / program_->run(); }
  const std::string& form() const { return form_; }  // "8 chains, fma()"
  double run_for(double seconds) const;              // seconds of one dispatch that is to last about so long

 private:
  struct Form {
    uint32_t chains;
    bool fused;
  };
  static constexpr Form kForms[] = {{8, false}, {12, false}, {16, false}, {24, false}, {8, true}, {16, true}};
  size_t try_forms() const;
  size_t recall_form(Tuner& tuner) const;
  std::unique_ptr<TimedProgram> record(const Form& form, uint32_t steps) const;
  void record_steps(Ops& ops, const Form& form, uint32_t steps) const;
  double flops_of(const Form& form, uint32_t steps) const;
  uint32_t steps_for(const Form& form, double seconds) const;  // with which a run lasts at least so long

  KernelLibrary& kernels_;
  uint32_t workgroup_, groups_;
  Arena arena_;
  Tensor result_;
  std::unique_ptr<TimedProgram> program_;
  const Form* best_ = nullptr;
  double flops_ = 0;
  std::string form_;
};

// FLOP/s of the ceiling alone: some tenths of a second once the device's form is remembered. The device is told (Device::note_flops_per_s).
double measure_fma_ceiling(Device& device);

// Bytes/s, read and written, of a copy that is no longer in caches.
double measure_copy_ceiling(KernelLibrary& kernels);

// Bytes of a copy that leaves caches behind, and fits. The copy reads and writes as many.
uint64_t ceiling_copy_bytes(const DeviceCaps& caps);

// A dispatch of the same kernel that does nothing; `ordered` puts a barrier between two of them.
void record_empty_dispatch(Ops& ops, Tensor result, bool ordered);

}  // namespace lapilli
