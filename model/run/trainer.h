#pragma once
// A training run from its configuration to its run folder.

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/tuning/kernel_tuner.h"
#include "model/run/checkpoint_writer.h"
#include "model/run/resume.h"
#include "model/run/run_folder.h"
#include "model/run/run_log.h"
#include "model/run/step_log.h"
#include "model/train/training_memory.h"

namespace lapilli {

// What a signal that asks the program to end finds: before training there is nothing to keep, later a checkpoint is written.
enum class RunPhase { starting, training, finishing };

// Between the program's signal handler and the trainer.
struct StopControl {
  std::atomic<bool> requested = false;
  std::atomic<RunPhase> phase = RunPhase::starting;
  static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<RunPhase>::is_always_lock_free);
};

struct TrainOptions {
  std::filesystem::path run_dir;       // created when missing
  bool just_made = false;              // run_dir was made for this run: no trace of it is left when the run does not begin
  bool resume = false;                 // continue from run_dir's newest checkpoint
  uint64_t stop_at = 0;                // end this session after that step, as an interrupt would; 0: run to the end
  uint64_t profile_steps = 0;          // profile this many last steps: table, run_dir/profile.txt, run_dir/trace.json
  TunerOptions tuning = {};            // whether and how to measure kernels without a cached choice
  Ceilings ceilings = {};              // measured peak rates of this device, for MFU and the profile
  StopControl* stop = nullptr;         // requested: finish the step, write a checkpoint, return
  // Called with what the run is doing before its first line in the log, for a status line: the text may be asked for at any time, by any
  // thread; null when the log begins.
  std::function<void(std::function<std::string()>)> on_status = {};
  // Start time for the first step's `since_start_s`.
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

class Trainer {
 public:
  // Locks the run folder, reads the data sets of config.data, plans memory, compiles kernels, loads or initializes the weights. Writes
  // nothing else before all of that has succeeded. Throws Error for every runtime and user error.
  Trainer(Device& device, Config config, TrainOptions options);

  // Trains to the end, or until it is asked to stop. An error on the way is thrown after the last good step has been written as a checkpoint,
  // if the parameters can still be read.
  void run();

  const Config& config() const { return config_; }
  // Whether kernels are still being compiled that no step has waited for. The destructor waits for them.
  bool is_compiling() const { return kernels_.progress().compiled < kernels_.progress().started; }
  // For a process that ends without destructors, after run().
  void release_folder() { folder_.unlock(); }
  const EvaluationResult& last_evaluation() const { return last_evaluation_; }
  double best_val_loss() const { return state_.best_val_loss; }

 private:
  void choose_loss();
  void allocate_memory();
  void load_or_make_state();
  void upload_state();
  void log_start();
  void train();
  void train_one_step(Prefetcher& batches);
  void stop_after_failed_steps(const StepResult& result, std::span<const Batch> batches);
  void collect_profile(HostSpan batch_wait);
  bool evaluation_is_due() const;
  void evaluate();
  bool checkpoint_is_due() const;
  void start_checkpoint(const TrainingState& state);
  void report_checkpoint(bool wait);
  void rescue(const std::string& error);
  bool stop_requested() const;
  void set_phase(RunPhase phase) const;
  void show_status(std::function<std::string()> text) const;
  void log_end(const std::string& reason);
  void log_end_event(const std::string& reason, const std::string& error);

  Device& device_;
  TrainOptions options_;
  RunFolder folder_;
  TrainingData data_;
  Config config_;
  std::filesystem::path tokenizer_path_;
  ParameterTable table_;
  KernelLibrary kernels_;
  Tuner tuner_;
  KernelTuner kernel_tuner_;
  std::string loss_reason_;  // why this strategy; empty when the configuration sets it
  std::unique_ptr<TrainingMemory> memory_;
  TrainingState state_;  // without the arrays, which are in device memory
  TrainingState last_good_;  // state_ after the newest step that was not skipped for what is not finite: the parameters are of it, too
  bool parameters_are_known_ = true;  // false: a step was begun and has not ended well
  EvaluationResult last_evaluation_;
  std::unique_ptr<RunLog> log_;
  std::unique_ptr<StepLog> step_log_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::chrono::steady_clock::time_point run_start_, last_checkpoint_;
  uint64_t written_step_ = 0;  // of the newest checkpoint written, or being written
  uint64_t session_tokens_ = 0;
  bool resumed_ = false;
  std::string resumed_commit_ = {};  // that wrote the checkpoint, if it says so
  std::vector<std::string> changed_keys_;  // since then
  std::deque<StepProfile> profiles_;  // of the last options_.profile_steps steps
  // The last member, so destroyed before all that a status text reads, and by a constructor that throws, too.
  struct StatusEnd {
    const TrainOptions& options;
    ~StatusEnd() {
      if (options.on_status) options.on_status(nullptr);
    }
  } status_end_{options_};
};

}  // namespace lapilli
