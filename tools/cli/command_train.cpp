// lapilli train: trains from a configuration into a run folder.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "model/io/config_toml.h"
#include "model/run/trainer.h"
#include "shaders/embedded_shaders.h"
#include "tools/check/check_memory.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/tuning_flags.h"
#include "tools/perf/ceilings.h"

namespace lapilli {

namespace {

struct TrainCommandOptions {
  std::string config, run, device;
  std::vector<std::string> sets;
  bool resume = false;
  std::optional<KernelClass> kernels;
  TuningFlags tuning;
  uint64_t profile_steps = 0, stop_at = 0;
};

StopControl stop;

// Before training nothing is lost by ending at once. Later the first signal finishes the step and writes a checkpoint; the second ends the
// program at once: files being written have temporary names.
extern "C" void on_stop_signal(int signal) {
  constexpr std::string_view kNothingTrained = "\nstopping: nothing was trained yet\n";
  constexpr std::string_view kAfterStep = "\nstopping after this step, with a checkpoint; a second signal stops at once\n";
  constexpr std::string_view kFinishing = "\nthe last checkpoint is being written; a second signal stops at once\n";
  const RunPhase phase = stop.phase;
  const bool is_second = stop.requested.exchange(true);
  const std::string_view message = phase == RunPhase::starting ? kNothingTrained : phase == RunPhase::training ? kAfterStep : kFinishing;
  if (!is_second) [[maybe_unused]]
    const ssize_t written = write(STDERR_FILENO, message.data(), message.size());
  if (phase != RunPhase::starting && !is_second) return;
  RunFolder::remove_unkept();
  std::_Exit(128 + signal);
}

void catch_signals() {
  struct sigaction action{};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a closed output pipe does not end a run: its files have the same output
}

void train(const TrainCommandOptions& options) {
  StatusLine status([] { return "starting"; });
  // A run folder has its configuration: --resume needs only the folder.
  const std::string config_path = options.config.empty() ? options.run + "/config.toml" : options.config;
  const Config config = load_config(config_path, options.sets);
  catch_signals();
  const bool is_named = !options.run.empty();
  const std::filesystem::path run_dir =
      is_named ? std::filesystem::path(options.run) : make_numbered_folder("runs", std::filesystem::path(config_path).stem().string());
  TrainOptions train_options{.run_dir = run_dir,
                             .just_made = !is_named,
                             .resume = options.resume,
                             .stop_at = options.stop_at,
                             .profile_steps = options.profile_steps,
                             .tuning = tuner_options(options.tuning, status, "preparing kernels"),
                             .stop = &stop,
                             .on_status = [&status](StatusLine::Text text) { status.set(std::move(text)); }};
  const std::filesystem::path own_choices = train_options.run_dir / kRunTuningName;
  if (options.resume && options.tuning.file.empty() && std::filesystem::exists(own_choices)) {
    train_options.tuning.file = own_choices;
    train_options.tuning.measure = false;  // unmeasured choices keep their defaults
  }
  Device device({.selector = options.device, .kernel_class = options.kernels});
  check::require_right_kernels(device.caps(), embedded_shaders_hash(), config.train.precision);
  train_options.ceilings = measure_ceilings(device, config.train.precision, options.profile_steps > 0 ? MeasureMemory::yes : MeasureMemory::no);
  Trainer trainer(device, config, train_options);
  trainer.run();
  print(fmt::format("run         {}\n", train_options.run_dir.string()));
  flush_output();
  // A short run is over before the large kernels are compiled, and a driver that compiles cannot be interrupted. All files are written.
  if (trainer.is_compiling()) {
    trainer.release_folder();
    std::_Exit(0);
  }
}

}  // namespace

void add_train_command(Command& program) {
  Command* command = program.add_subcommand("train", "Train a model");
  command->footer(
      "The run folder holds config.toml (every default written out), its tokenizer, metrics.jsonl, log.txt and "
      "checkpoints/.\nCtrl-C finishes the step, writes a checkpoint and ends; --resume continues exactly where it "
      "stopped.\nExample: lapilli train tools/configs/quickstart.toml --set data.dir=stories --run runs/first");
  const auto options = std::make_shared<TrainCommandOptions>();
  command->add_option("config", options->config, "Configuration (default with --resume: that of the run)")->type_name("CONFIG.toml");
  add_set_option(*command, options->sets);
  Option* run =
      command->add_option("--run", options->run, "Run folder (default: runs/NAME-1, NAME-2, ... by the configuration's name)")->type_name("DIR");
  command->add_flag("--resume", options->resume, "Continue from the newest checkpoint of --run")->needs(run);
  add_device_option(*command, options->device);
  add_kernels_option(*command, options->kernels);
  command
      ->add_option("--profile", options->profile_steps,
                   "Time every part of the last N steps: profile.txt and (for Perfetto) trace.json in the run folder")
      ->check(positive())
      ->type_name("N");
  add_tuning_options(*command, options->tuning);
  command->add_option("--stop-at", options->stop_at, "Stop after this step, like Ctrl-C")->check(positive())->type_name("STEP");
  command->callback([options] {
    if (options->config.empty() && !options->resume) throw UsageError("CONFIG.toml", "is required without --resume");
    train(*options);
  });
}

}  // namespace lapilli
