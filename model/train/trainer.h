#pragma once
// A training run from its configuration to its run folder.

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>

#include "engine/tuning/kernel_tuner.h"
#include "model/io/checkpoint.h"
#include "model/train/run_log.h"
#include "model/train/training_memory.h"

namespace lapilli {

// The run's choices between kernels, in its folder: to go on with, or to repeat it, to the bit.
constexpr const char* kRunTuningName = "tuning.json";

struct TrainOptions {
  std::filesystem::path run_dir;       // made when missing
  bool resume = false;                 // go on from run_dir's newest checkpoint
  uint64_t stop_at = 0;                // end this session after that step, as an interrupt would; 0: run to the end
  uint64_t profile_steps = 0;          // so many last steps as a table, also in run_dir/profile.txt, and as run_dir/trace.json
  TunerOptions tuning = {};            // measure where the device's choices are not known yet?
  Ceilings ceilings = {};              // of this device, measured; for MFU and the profile
  const std::atomic<bool>* stop = nullptr;  // set by a signal: finish the step, write a checkpoint, return
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();  // what the first step's `since_start_s` counts from
};

class Trainer {
 public:
  // Reads the data set that config.data.dir names, plans memory, compiles kernels, loads or makes the weights. Nothing is
  // written before all of that has worked. Throws Error for everything the world can get wrong.
  Trainer(Device& device, Config config, TrainOptions options);
  ~Trainer();

  void run();

  const Config& config() const { return config_; }
  const EvaluationResult& last_evaluation() const { return last_evaluation_; }
  double best_val_loss() const { return state_.best_val_loss; }

 private:
  void choose_loss();
  void allocate_memory();
  void load_or_make_weights();
  void tell_start();
  void tell_init();
  void train_one_step(Prefetcher& batches);
  void tell_step(const StepResult& result, double lr, double seconds);
  void note_profile(HostSpan batch_wait);
  void tell_profile();
  void evaluate();
  void show_sample();
  void checkpoint();
  bool stop_requested() const;
  void tell_end(double seconds);

  Device& device_;
  Config config_;
  TrainOptions options_;
  TokenShard train_shard_, val_shard_;
  std::filesystem::path tokenizer_path_;
  ParameterTable table_;
  KernelLibrary kernels_;
  Tuner tuner_;
  KernelTuner kernel_tuner_;
  std::string loss_reason_;  // why this strategy; empty when the configuration says it
  std::unique_ptr<TrainingMemory> memory_;
  TrainingState state_;
  EvaluationResult last_evaluation_;
  std::unique_ptr<RunLog> log_;
  double seconds_per_step_ = 0;  // running mean, for the ETA
  uint64_t session_tokens_ = 0;
  bool resumed_ = false;
  std::deque<StepProfile> profiles_;  // of the last options_.profile_steps steps
};

}  // namespace lapilli
