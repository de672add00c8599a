#include "model/run/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/base/utf8.h"
#include "engine/base/version.h"
#include "engine/tuning/kernel_tuner.h"
#include "model/io/config_schema.h"
#include "model/io/config_toml.h"
#include "model/loss/loss_plan_tuning.h"
#include "model/run/failure_report.h"
#include "model/run/init_from.h"
#include "model/run/trainer_report.h"
#include "model/train/lr_schedule.h"
#include "shaders/embedded_shaders.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Config with_vocabulary(Config config, uint32_t vocab_size) {
  config.model.vocab_size = vocab_size;
  return config;
}

// A run goes on after a step that was skipped, as one bad batch may cause it; parameters that make every loss infinite do not recover.
constexpr uint32_t kMostNotFiniteInARow = 10;

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

// Where it will be found from any folder.
Config with_absolute_paths(Config config) {
  const auto make_absolute = [](std::string& path) {
    if (!path.empty()) path = std::filesystem::absolute(path).lexically_normal().string();
  };
  make_absolute(config.data.dir);
  for (DataShare& set : config.data.mix) make_absolute(set.dir);
  make_absolute(config.teacher);
  make_absolute(config.train.init_from);
  return config;
}

Trainer::Trainer(Device& device, Config config, TrainOptions options)
    : device_(device),
      options_(std::move(options)),
      folder_(options_.run_dir, options_.resume, options_.just_made),
      data_(config.data, config.model.context),
      config_(with_vocabulary(with_absolute_paths(std::move(config)), data_.first().train.vocab_size())),
      tokenizer_path_(tokenizer_in(data_.first().dir)),
      table_(config_.model),
      kernels_(device, embedded_shaders()),
      tuner_(device.caps(), embedded_shaders_hash(), options_.tuning),
      kernel_tuner_(kernels_, tuner_) {
  validate_config(config_);
  if (!config_.teacher.empty()) {
    const LoadedCheckpoint teacher = load_teacher(config_);
    data_.first().train.require_tokenizer(teacher.state.tokenizer_hash, "the teacher");
    config_ = with_teacher(std::move(config_), teacher.config);
  }
  load_or_make_state();
  choose_loss();
  show_status([] { return "allocating memory"; });
  allocate_memory();
  memory_->record(kernels_, options_.profile_steps > 0, &kernel_tuner_);
  show_status([this] {
    const KernelLibrary::Progress done = kernels_.progress();
    return fmt::format("compiling kernels, {} of {} (only at the first start with this driver)", done.compiled, done.started);
  });
  upload_state();
  memory_->step->prepare();
  memory_->evaluation->prepare();
}

// The choice is stored in the configuration, so that a resumed run, or a new run from its config.toml, uses the same.
void Trainer::choose_loss() {
  const TunedLoss tuned =
      tune_loss(kernel_tuner_, config_.loss, micro_batch_loss_shape(config_), matmul_kernel(device_.caps(), config_.train.precision));
  config_.loss = tuned.options;
  loss_reason_ = tuned.reason;
}

void Trainer::allocate_memory() {
  try {
    memory_ = std::make_unique<TrainingMemory>(device_, config_, table_);
    memory_->commit(device_);
  } catch (const Error& error) {
    const uint32_t batch = largest_fitting_batch(device_, config_);
    if (batch == 0 || batch == config_.data.batch) throw;
    throw Error("{}; data.batch = {} would fit (with data.accumulate = {} a step is about as large)", error.what(), batch,
                ceil_div(uint64_t{config_.data.batch} * config_.data.accumulate, batch));
  }
}

void Trainer::load_or_make_state() {
  if (options_.resume) {
    LoadedCheckpoint loaded = load_checkpoint(find_latest_checkpoint(folder_.path()));
    if (loaded.state.first_moment.empty())
      throw Error("'{}' was imported and holds no optimizer state: begin a new run with train.init_from = \"{}\"", loaded.folder.string(),
                  options_.run_dir.string());
    changed_keys_ = require_same_run(loaded, config_, data_);
    state_ = std::move(loaded.state);
    resumed_commit_ = loaded.commit;
    resumed_ = true;
    written_step_ = state_.step;
  } else {
    state_.seed = config_.train.seed;
    state_.best_val_loss = std::numeric_limits<double>::infinity();
    state_.tokenizer_hash = data_.first().train.tokenizer_hash();
    if (!config_.train.init_from.empty()) state_.values = initial_weights_from(config_, data_.first().train);
  }
  state_.data_fingerprint = data_.fingerprint();
}

void Trainer::upload_state() {
  if (state_.values.empty()) state_.values = initial_values(table_, state_.seed);
  memory_->weights->load(device_, state_.values);
  memory_->step->load(state_);
  // From here on they are in device memory.
  state_.values = {};
  state_.first_moment = {};
  state_.second_moment = {};
  last_good_ = state_;
}

void Trainer::run() {
  folder_.keep();
  const std::filesystem::path checkpoints = folder_ / kRunCheckpointsName;
  std::filesystem::create_directories(checkpoints);
  remove_unfinished_checkpoints(checkpoints);
  log_ = std::make_unique<RunLog>(folder_.path(), resumed_, state_.step);
  step_log_ = std::make_unique<StepLog>(*log_, config_, options_.started);
  writer_ = std::make_unique<CheckpointWriter>(checkpoints, config_, tokenizer_path_, [log = log_.get()] { log->sync(); });
  write_file_atomically(folder_ / kRunConfigName, to_toml(config_));
  TuningFile(device_.caps(), embedded_shaders_hash(), folder_ / kRunTuningName).add(tuner_.decisions(), tuner_.crashes());
  copy_file_atomically(tokenizer_path_, folder_ / tokenizer_path_.filename().string());

  run_start_ = last_checkpoint_ = Clock::now();
  show_status(nullptr);
  log_start();
  try {
    if (!resumed_) report_init(*log_, config_, table_, *memory_->evaluation, data_);
    train();
  } catch (const std::exception& error) {
    rescue(error.what());
    throw;
  }
}

void Trainer::train() {
  const BatchStream stream(data_.train_shards(),
                           {.batch = config_.data.batch, .context = config_.model.context, .document_mask = config_.data.document_mask}, state_.seed);
  Prefetcher batches([&](uint64_t index) { return stream.batch(index); }, state_.next_batch, 2 * size_t{config_.data.accumulate});
  const uint64_t first_step = state_.step + 1;
  set_phase(RunPhase::training);
  if (evaluation_is_due()) evaluate();  // one that was stopped when the checkpoint was written
  while (state_.step < config_.train.steps && !stop_requested()) {
    train_one_step(batches);
    if (state_.step == first_step) {
      memory_->generator->prepare();  // has been compiled meanwhile
      kernels_.save_cache();
    }
    if (evaluation_is_due()) evaluate();
    report_checkpoint(/*wait=*/false);
    if (checkpoint_is_due()) start_checkpoint(state_);
  }
  set_phase(RunPhase::finishing);
  if (written_step_ != state_.step) start_checkpoint(state_);
  report_checkpoint(/*wait=*/true);
  if (written_step_ != state_.step) throw Error("the last checkpoint could not be written (see above)");
  log_end(state_.step == config_.train.steps ? "finished" : "stopped");
}

void Trainer::set_phase(RunPhase phase) const {
  if (options_.stop != nullptr) options_.stop->phase = phase;
}

void Trainer::show_status(std::function<std::string()> text) const {
  if (options_.on_status) options_.on_status(std::move(text));
}

bool Trainer::stop_requested() const {
  return (options_.stop != nullptr && options_.stop->requested) || (options_.stop_at > 0 && state_.step >= options_.stop_at);
}

void Trainer::train_one_step(Prefetcher& batches) {
  const Clock::time_point start = Clock::now();
  HostSpan batch_wait{.name = "wait for batch", .begin_ns = steady_now_ns()};
  std::vector<Batch> micro_batches;
  for (uint32_t m = 0; m < config_.data.accumulate; ++m) micro_batches.push_back(batches.next());
  const uint64_t step = state_.step + 1;
  const double lr = learning_rate(config_.optim, step, config_.train.steps);
  parameters_are_known_ = false;
  const StepResult result = memory_->step->run(micro_batches, step, lr, state_.seed);
  parameters_are_known_ = true;
  state_.step = step;
  state_.next_batch += config_.data.accumulate;
  state_.tokens += static_cast<uint64_t>(result.sums.rows);
  state_.not_finite_in_a_row = result.skipped == Skipped::not_finite ? state_.not_finite_in_a_row + 1 : 0;
  memory_->step->store_counters(state_);
  session_tokens_ += static_cast<uint64_t>(result.sums.rows);
  const LossScale& scale = memory_->step->loss_scale();
  step_log_->log(result,
                 {.lr = lr,
                  .seconds = seconds_since(start),
                  .flops = memory_->step->step_flops(),
                  .ceiling_flops_per_s = options_.ceilings.matmul_flops_per_s(),
                  .host_ms = memory_->step->host_ns() * 1e-6,
                  .loss_scale = scale.is_dynamic() ? std::optional(scale.value()) : std::nullopt},
                 state_);
  if (result.skipped != Skipped::not_finite) last_good_ = state_;
  if (state_.not_finite_in_a_row >= kMostNotFiniteInARow) stop_after_failed_steps(result, micro_batches);
  if (options_.profile_steps > 0) collect_profile(std::move(batch_wait));
}

void Trainer::stop_after_failed_steps(const StepResult& result, std::span<const Batch> batches) {
  const std::filesystem::path report =
      write_failure_report(folder_.path(), state_.step, result, table_, memory_->step->read_values(), memory_->step->read_gradients(), batches);
  throw Error(
      "training diverged: {} is not finite in step {}, the {}th such step in a row; what is in parameters, gradients and batch is in '{}'. Lower "
      "optim.lr, lengthen optim.warmup{}",
      result.not_finite, state_.step, kMostNotFiniteInARow, report.string(),
      config_.train.precision == Precision::f16 ? ", set optim.clip, or set train.precision to \"bf16\" or \"f32\"" : " or set optim.clip");
}

// The time from the step's end until now is part of the step too: the host logged it.
void Trainer::collect_profile(HostSpan batch_wait) {
  const int64_t now_ns = steady_now_ns();
  StepProfile profile = memory_->step->take_profile();
  batch_wait.end_ns = profile.host.front().begin_ns;
  profile.host.insert(profile.host.begin(), std::move(batch_wait));
  profile.host.push_back({.name = "log", .begin_ns = profile.host.back().end_ns, .end_ns = now_ns});
  profiles_.push_back(std::move(profile));
  if (profiles_.size() > options_.profile_steps) profiles_.pop_front();
}

void Trainer::log_start() {
  report_start(*log_, {.caps = device_.caps(),
                       .config = config_,
                       .table = table_,
                       .memory = *memory_,
                       .tuner = tuner_,
                       .data = data_,
                       .seed = state_.seed,
                       .resumed_from = resumed_ ? std::optional(state_.step) : std::nullopt,
                       .loss_reason = loss_reason_});
  if (!resumed_) return;
  for (const std::string& changed : changed_keys_) log_->line("changed     " + changed);
  const std::string& commit = build_version().commit;
  const bool same_program = resumed_commit_ == commit || resumed_commit_.empty() || commit.empty();
  log_->line(fmt::format("resumed     after step {} of {}{}", state_.step, config_.train.steps,
                         same_program ? "" : fmt::format("; the checkpoint was written by lapilli {}, this is {}", resumed_commit_, commit)));
}

bool Trainer::evaluation_is_due() const {
  const uint64_t every = config_.train.eval_every;
  return state_.step > 0 && state_.evaluated_step < state_.step && (state_.step == config_.train.steps || (every > 0 && state_.step % every == 0));
}

void Trainer::evaluate() {
  const uint64_t limit = config_.train.eval_tokens == 0 ? UINT64_MAX : config_.train.eval_tokens;
  const std::vector<EvaluationResult> parts =
      data_.evaluate(*memory_->evaluation, limit, options_.stop == nullptr ? nullptr : &options_.stop->requested);
  const EvaluationResult r = mixed(parts, data_.shares());
  if (!r.is_complete) return;  // is due again when the run is resumed
  last_evaluation_ = r;
  state_.evaluated_step = state_.step;
  if (r.loss < state_.best_val_loss) {
    state_.best_val_loss = r.loss;
    state_.best_step = state_.step;
  }
  last_good_ = state_.not_finite_in_a_row == 0 ? state_ : last_good_;
  if (r.not_finite > 0) log_->warn(fmt::format("step {}: the validation loss of {} of {} tokens is not finite", state_.step, r.not_finite, r.tokens));
  log_->event({{"event", "val"},
               {"step", state_.step},
               {"loss", finite_or_null(r.loss)},
               {"perplexity", finite_or_null(r.perplexity)},
               {"bits_per_byte", finite_or_null(r.bits_per_byte)},
               {"top1", r.top1},
               {"tokens", r.tokens},
               {"stderr", finite_or_null(r.standard_error)}});
  log_->line(fmt::format("validation  step {}: loss {:.4f} +- {:.4f}, perplexity {:.3f}, {}top-1 {:.1f}%", state_.step, r.loss, r.standard_error,
                         r.perplexity, r.bits_per_byte > 0 ? fmt::format("{:.4f} bits per byte, ", r.bits_per_byte) : "", 100 * r.top1));
  if (data_.is_mix()) report_sets(*log_, state_.step, data_, parts);
  if (!is_no_tokenizer(tokenizer_path_))
    log_->line("sample      " + draw_sample(*memory_->generator, Tokenizer(tokenizer_path_), data_.first().val, state_.seed));
}

bool Trainer::checkpoint_is_due() const {
  const TrainConfig& train = config_.train;
  if (state_.step == written_step_ || state_.step == train.steps || stop_requested()) return false;  // those are written at the end
  const bool is_best = train.keep_best && state_.best_step == state_.step;
  const double minutes = seconds_since(last_checkpoint_) / 60;
  return is_best || (train.checkpoint_every > 0 && state_.step % train.checkpoint_every == 0) ||
         (train.checkpoint_minutes > 0 && minutes >= train.checkpoint_minutes);
}

// Training goes on while it is written. Waits for the one before it.
void Trainer::start_checkpoint(const TrainingState& of) {
  report_checkpoint(/*wait=*/true);
  TrainingState state = of;
  state.values = memory_->step->read_values();
  state.first_moment = memory_->step->read_first_moment();
  state.second_moment = memory_->step->read_second_moment();
  written_step_ = state.step;
  last_checkpoint_ = Clock::now();
  writer_->start(std::move(state));
}

void Trainer::report_checkpoint(bool wait) {
  const std::optional<CheckpointWriter::Written> written = writer_->take(wait);
  if (!written) return;
  if (!written->error.empty()) {
    written_step_ = 0;
    log_->warn(fmt::format("no checkpoint of step {} was written: {}", written->step, written->error));
    return;
  }
  log_->event({{"event", "checkpoint"},
               {"step", written->step},
               {"path", std::filesystem::relative(written->folder, folder_.path()).string()},
               {"best", written->step == state_.best_step},
               {"write_s", written->seconds}});
  log_->line(fmt::format("checkpoint  {}{}", written->folder.string(), written->step == state_.best_step ? " (best validation loss so far)" : ""));
}

// Writes the last good step, whatever ended the run. Never throws: each part is tried, whatever became of those before it.
void Trainer::rescue(const std::string& error) {
  const auto attempt = [&](const char* what, const std::function<void()>& part) {
    try {
      part();
    } catch (const std::exception& failure) {
      log_warning("{} in '{}': {}", what, folder_.path().string(), failure.what());
    }
  };
  set_phase(RunPhase::finishing);
  attempt("the error could not be logged", [&] { log_->note("ERROR: " + error); });
  attempt("a checkpoint could not be reported", [&] { report_checkpoint(/*wait=*/true); });
  const bool is_newer = last_good_.step > 0 && last_good_.step != written_step_;
  if (parameters_are_known_ && is_newer) {
    attempt("the last good step could not be written", [&] { start_checkpoint(last_good_); });
    attempt("a checkpoint could not be reported", [&] { report_checkpoint(/*wait=*/true); });
  }
  attempt("the end of the run could not be logged", [&] {
    if (!parameters_are_known_) log_->line("the step that failed may have changed parameters: they are not kept");
    const std::filesystem::path newest = find_latest_checkpoint(folder_.path());
    log_->line(newest.empty() ? "failed      before a checkpoint was written"
                              : fmt::format("failed      continue from {} with --resume", newest.string()));
    log_end_event("failed", error);
    log_->sync();
  });
}

void Trainer::log_end(const std::string& reason) {
  if (!profiles_.empty()) report_profile(*log_, folder_.path(), {profiles_.begin(), profiles_.end()}, options_.ceilings, device_.caps());
  log_end_event(reason, "");
  if (reason == "stopped") {
    log_->line(fmt::format("stopped     after step {} of {}; continue with --resume", state_.step, config_.train.steps));
  } else {
    const double seconds = seconds_since(run_start_);
    log_->line(fmt::format("done        {} steps, {} tokens in {} ({:.0f} tok/s with evaluation); best validation loss {:.4f}, perplexity {:.3f}",
                           state_.step, session_tokens_, duration_text(seconds), static_cast<double>(session_tokens_) / seconds, state_.best_val_loss,
                           std::exp(state_.best_val_loss)));
  }
  log_->sync();
}

void Trainer::log_end_event(const std::string& reason, const std::string& error) {
  Json event{{"event", "end"},
             {"reason", reason},
             {"wall_s", seconds_since(run_start_)},
             {"step", state_.step},
             {"tokens", state_.tokens},
             {"best_val_loss", finite_or_null(state_.best_val_loss)},
             {"best_val_perplexity", finite_or_null(std::exp(state_.best_val_loss))},
             {"best_step", state_.best_step}};
  if (!error.empty()) event["error"] = error;
  log_->event(event);
}

}  // namespace lapilli
