#pragma once
// A training run from its configuration to its run folder.

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "engine/tuning/kernel_tuner.h"
#include "model/io/checkpoint.h"
#include "model/train/run_log.h"
#include "model/train/training_memory.h"

namespace lapilli {

// The run's kernel choices, stored in its folder: a resumed or repeated run gives the same bits.
constexpr const char* kRunTuningName = "tuning.json";

struct TrainOptions {
  std::filesystem::path run_dir;       // created when missing
  bool resume = false;                 // continue from run_dir's newest checkpoint
  uint64_t stop_at = 0;                // end this session after that step, as an interrupt would; 0: run to the end
  uint64_t profile_steps = 0;          // profile this many last steps: table, run_dir/profile.txt, run_dir/trace.json
  TunerOptions tuning = {};            // whether and how to measure kernels without a cached choice
  Ceilings ceilings = {};              // measured peak rates of this device, for MFU and the profile
  const std::atomic<bool>* stop = nullptr;  // set by a signal: finish the step, write a checkpoint, return
  // Called with what the run is doing before its first line in the log, for a status line: the text may be asked for at any time, by any
  // thread; null when the log begins.
  std::function<void(std::function<std::string()>)> on_status = {};
  // Start time for the first step's `since_start_s`.
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

class Trainer {
 public:
  // Reads the data set config.data.dir, plans memory, compiles kernels, loads or initializes the weights. Writes
  // nothing before all of that has succeeded. Throws Error for every runtime and user error.
  Trainer(Device& device, Config config, TrainOptions options);

  void run();

  const Config& config() const { return config_; }
  // Whether kernels are still being compiled that no step has waited for. The destructor waits for them.
  bool is_compiling() const { return kernels_.progress().compiled < kernels_.progress().started; }
  const EvaluationResult& last_evaluation() const { return last_evaluation_; }
  double best_val_loss() const { return state_.best_val_loss; }

 private:
  void choose_loss();
  void allocate_memory();
  void load_or_make_weights();
  void log_start();
  void train_one_step(Prefetcher& batches);
  void log_step(const StepResult& result, double lr, double seconds);
  void collect_profile(HostSpan batch_wait);
  void log_profile();
  void evaluate();
  void show_sample();
  void checkpoint();
  bool stop_requested() const;
  void show_status(std::function<std::string()> text) const;
  void log_end(double seconds);

  Device& device_;
  TrainOptions options_;
  TokenShard train_shard_, val_shard_;
  Config config_;
  std::filesystem::path tokenizer_path_;
  ParameterTable table_;
  KernelLibrary kernels_;
  Tuner tuner_;
  KernelTuner kernel_tuner_;
  std::string loss_reason_;  // why this strategy; empty when the configuration sets it
  std::unique_ptr<TrainingMemory> memory_;
  TrainingState state_;
  EvaluationResult last_evaluation_;
  std::unique_ptr<RunLog> log_;
  double seconds_per_step_ = 0;  // running mean, for the ETA
  uint64_t session_tokens_ = 0;
  bool resumed_ = false;
  std::string resumed_commit_ = {};  // that wrote the checkpoint, if it says so
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
