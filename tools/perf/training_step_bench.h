#pragma once
// Whole training steps of a configuration on random tokens, timed by the wall clock, as in a real run.

#include "engine/tuning/tuner.h"
#include "model/train/training_memory.h"
#include "tools/perf/timing.h"

namespace lapilli {

// Sets model.vocab_size: `vocab_size` if not 0, else that of the data set data.dir. Throws Error, naming both ways,
// when neither is given.
void set_vocab_size(Config& config, uint32_t vocab_size);

// Resolves the choices that the configuration leaves to a measurement (loss.strategy = "auto"), as training does.
void resolve_by_measurement(Config& config, KernelLibrary& kernels, Tuner& tuner);

class TrainingStepBench {
 public:
  // Allocates the memory of training, tunes its kernels, and starts from initial weights. REQUIRES:
  // config.model.vocab_size set.
  TrainingStepBench(Device& device, KernelLibrary& kernels, Tuner& tuner, const Config& config, bool profiled);

  double run();  // seconds of one optimizer step including host work; weights do not change (learning rate 0)
  BenchmarkCase benchmark_case() {
    return {"step", [this] { return run(); }};
  }
  double flops() const { return memory_.step->step_flops(); }
  uint64_t tokens() const { return uint64_t{config_.data.batch} * config_.data.accumulate * config_.model.context; }
  uint64_t parameters() const { return table_.count(); }
  uint64_t memory_bytes() const { return memory_.planned_bytes(); }
  // Runs `steps` more steps. REQUIRES: profiled.
  std::vector<StepProfile> profile(uint32_t steps);

 private:
  Config config_;
  ParameterTable table_;
  TrainingMemory memory_;
  std::vector<Batch> batches_;
  uint64_t step_ = 0;
};

}  // namespace lapilli
