#pragma once
// The lines and events of a training step.

#include <chrono>
#include <optional>
#include <string>

#include "model/io/training_state.h"
#include "model/run/run_log.h"
#include "model/train/training_step.h"

namespace lapilli {

// What a step's line has beside its result.
struct StepFacts {
  double lr = 0;
  double seconds = 0;           // of the step, with waiting for its batch
  double flops = 0;             // of the step
  double ceiling_flops_per_s = 0;  // measured; 0: not measured
  double host_ms = 0;
  std::optional<double> loss_scale = {};  // f16
};

class StepLog {
 public:
  // `started`: of the program, for the first step's `since_start_s`. The references must outlive the object.
  StepLog(RunLog& log, const Config& config, std::chrono::steady_clock::time_point started) : log_(log), config_(config), started_(started) {}

  // REQUIRES: `state` is that after the step. Adds loss and norm to its trends; a `spike` event where one is far above its own.
  void log(const StepResult& result, const StepFacts& facts, TrainingState& state);

 private:
  void log_skipped(const StepResult& result, const StepFacts& facts, const TrainingState& state);
  void log_spikes(const StepResult& result, TrainingState& state);

  RunLog& log_;
  const Config& config_;
  std::chrono::steady_clock::time_point started_;
  double seconds_per_step_ = 0;  // running mean, for the ETA
};

// "1:02:03" or "2:03".
std::string duration_text(double seconds);

}  // namespace lapilli
