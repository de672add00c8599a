#include "model/train/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/version.h"
#include "engine/tuning/kernel_tuner.h"
#include "model/io/config_schema.h"
#include "model/io/config_toml.h"
#include "model/loss/loss_plan_tuning.h"
#include "model/train/lr_schedule.h"
#include "model/train/trainer_report.h"
#include "shaders/embedded_shaders.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

TokenShard open_shard(const Config& config, const char* name) {
  if (config.data.dir.empty()) throw Error("data.dir is not set: name the folder that `lapilli data build` made (--set data.dir=DIR)");
  const std::filesystem::path path = std::filesystem::path(config.data.dir) / name;
  if (!std::filesystem::exists(path))
    throw Error("'{}' does not exist; make it with `lapilli data build --tokenizer T.model -i FILE... -o {}`", path.string(), config.data.dir);
  return TokenShard(path);
}

Config with_vocabulary(Config config, uint32_t vocab_size) {
  config.model.vocab_size = vocab_size;
  return config;
}

std::string duration(double seconds) {
  const auto s = static_cast<uint64_t>(seconds);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60) : fmt::format("{}:{:02}", s / 60, s % 60);
}

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Trainer::Trainer(Device& device, Config config, TrainOptions options)
    : device_(device),
      options_(std::move(options)),
      train_shard_(open_shard(config, kTrainShardName)),
      val_shard_(open_shard(config, kValShardName)),
      config_(with_vocabulary(std::move(config), train_shard_.vocab_size())),
      tokenizer_path_(std::filesystem::path(config_.data.dir) / kTokenizerName),
      table_(config_.model),
      kernels_(device, embedded_shaders()),
      tuner_(device.caps(), embedded_shaders_hash(), options_.tuning),
      kernel_tuner_(kernels_, tuner_) {
  validate_config(config_);
  val_shard_.require_tokenizer(train_shard_.tokenizer_hash(), "the training split");
  const uint64_t needed = uint64_t{config_.model.context} + 1;
  if (train_shard_.token_count() < needed)
    throw Error("the training split has {} tokens, but model.context = {} needs at least {}", train_shard_.token_count(), config_.model.context,
                needed);
  if (!config_.teacher.empty()) {
    const LoadedCheckpoint teacher = load_teacher(config_);
    train_shard_.require_tokenizer(teacher.state.tokenizer_hash, "the teacher");
    config_ = with_teacher(std::move(config_), teacher.config);
  }
  choose_loss();
  show_status([] { return "allocating memory"; });
  allocate_memory();
  memory_->record(kernels_, options_.profile_steps > 0, &kernel_tuner_);
  show_status([this] {
    const KernelLibrary::Progress done = kernels_.progress();
    return fmt::format("compiling kernels, {} of {} (only at the first start with this driver)", done.compiled, done.started);
  });
  load_or_make_weights();
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

void Trainer::load_or_make_weights() {
  const std::filesystem::path latest = find_latest_checkpoint(options_.run_dir);
  if (!latest.empty() && !options_.resume)
    throw Error("'{}' already holds a run; add --resume to continue it, or name another folder with --run", options_.run_dir.string());
  if (options_.resume) {
    if (latest.empty()) throw Error("there is no checkpoint to resume from in '{}'", options_.run_dir.string());
    LoadedCheckpoint loaded = load_checkpoint(latest);
    train_shard_.require_tokenizer(loaded.state.tokenizer_hash, "the checkpoint");
    if (loaded.state.values.size() != table_.count() || loaded.config.model.vocab_size != config_.model.vocab_size)
      throw Error("the checkpoint '{}' does not fit the configuration: it has {} parameters, the configuration {}", latest.string(),
                  loaded.state.values.size(), table_.count());
    state_ = std::move(loaded.state);
    resumed_commit_ = loaded.commit;
    resumed_ = true;
  } else {
    state_.seed = config_.train.seed;
    state_.best_val_loss = std::numeric_limits<double>::infinity();
    state_.tokenizer_hash = train_shard_.tokenizer_hash();
    state_.values = initial_values(table_, state_.seed);
  }
  memory_->weights->load(device_, state_.values);
  memory_->step->load_moments(state_.first_moment, state_.second_moment);
  memory_->step->load_loss_scale(state_.loss_scale);
  // From here on they are in device memory.
  state_.values = {};
  state_.first_moment = {};
  state_.second_moment = {};
}

void Trainer::run() {
  std::filesystem::create_directories(options_.run_dir / "checkpoints");
  log_ = std::make_unique<RunLog>(options_.run_dir, resumed_, state_.step);
  write_file_atomically(options_.run_dir / "config.toml", to_toml(config_));
  TuningFile(device_.caps(), embedded_shaders_hash(), options_.run_dir / kRunTuningName).add(tuner_.decisions(), tuner_.crashes());
  std::filesystem::copy_file(tokenizer_path_, options_.run_dir / kTokenizerName, std::filesystem::copy_options::overwrite_existing);

  const Clock::time_point start = Clock::now();
  show_status(nullptr);
  log_start();
  if (!resumed_) report_init(*log_, config_, table_, *memory_->evaluation, train_shard_, val_shard_);
  const BatchStream stream(train_shard_, {.batch = config_.data.batch, .context = config_.model.context, .document_mask = config_.data.document_mask},
                           state_.seed);
  Prefetcher batches([&](uint64_t index) { return stream.batch(index); }, state_.next_batch, 2 * size_t{config_.data.accumulate});
  const TrainConfig& train = config_.train;
  const uint64_t first_step = state_.step + 1;
  while (state_.step < train.steps && !stop_requested()) {
    train_one_step(batches);
    if (state_.step == first_step) {
      memory_->generator->prepare();  // has been compiled meanwhile
      kernels_.save_cache();
    }
    const bool last = state_.step == train.steps;
    if (last || (train.eval_every > 0 && state_.step % train.eval_every == 0)) evaluate();
    if (last || stop_requested() || (train.checkpoint_every > 0 && state_.step % train.checkpoint_every == 0)) checkpoint();
  }
  log_end(seconds_since(start));
}

void Trainer::show_status(std::function<std::string()> text) const {
  if (options_.on_status) options_.on_status(std::move(text));
}

bool Trainer::stop_requested() const {
  return (options_.stop != nullptr && options_.stop->load()) || (options_.stop_at > 0 && state_.step >= options_.stop_at);
}

void Trainer::train_one_step(Prefetcher& batches) {
  const Clock::time_point start = Clock::now();
  HostSpan batch_wait{.name = "wait for batch", .begin_ns = steady_now_ns()};
  std::vector<Batch> micro_batches;
  for (uint32_t m = 0; m < config_.data.accumulate; ++m) micro_batches.push_back(batches.next());
  const uint64_t step = state_.step + 1;
  const double lr = learning_rate(config_.optim, step, config_.train.steps);
  const StepResult result = memory_->step->run(micro_batches, step, lr, state_.seed);
  state_.step = step;
  state_.next_batch += config_.data.accumulate;
  state_.tokens += static_cast<uint64_t>(result.sums.rows);
  session_tokens_ += static_cast<uint64_t>(result.sums.rows);
  if (result.sums.rows == 0) log_->warn(fmt::format("step {}: no targets in this batch; the optimizer was skipped", step));
  if (result.overflowed)
    log_->warn(fmt::format("step {}: gradients overflowed f16; the optimizer was skipped, the loss scale is now {:g}", step,
                           memory_->step->loss_scale().value()));
  log_step(result, lr, seconds_since(start));
  if (options_.profile_steps > 0) collect_profile(std::move(batch_wait));
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
  const DeviceCaps& caps = device_.caps();
  const uint64_t tokens_per_step = uint64_t{config_.data.batch} * config_.data.accumulate * config_.model.context;
  const std::string& commit = build_version().commit;
  Json event{{"event", "start"},
             {"lapilli", build_version().version},
             {"commit", commit},
             {"device", caps.name},
             {"driver", caps.driver},
             {"version", caps.api_version},
             {"parameters", table_.count()},
             {"tokens_per_step", tokens_per_step},
             {"memory_bytes", memory_->planned_bytes()},
             {"loss_plan", memory_->step->loss_plan().to_string()},
             {"seed", state_.seed}};
  if (resumed_) event["resumed_from"] = state_.step;
  log_->event(event);
  log_->line(fmt::format("device      {} ({}), {} kernels", caps.name, caps.driver, to_string(caps.kernel_class)));
  log_->line(fmt::format("model       {} {}: {} parameters; {} layers, width {}, {} heads, context {}, vocabulary {}", to_string(config_.model.arch),
                         to_string(config_.train.precision), table_.count(), config_.model.layers, config_.model.dim, config_.model.heads,
                         config_.model.context, config_.model.vocab_size));
  std::string kinds;
  for (const auto& [kind, bytes] : memory_->kept.bytes_by_kind()) kinds += fmt::format("{} {:.1f}, ", kind, mib(bytes));
  log_->line(fmt::format("memory      {:.1f} MiB ({}activations and loss {:.1f})", mib(memory_->planned_bytes()), kinds,
                         mib(memory_->scratch.planned_bytes())));
  const LossPlan& loss = memory_->step->loss_plan();
  if (!config_.teacher.empty()) log_->line(fmt::format("teacher     {}, {:g} of the objective", config_.teacher, config_.loss.distillation));
  log_->line("loss        " + loss.to_string() + (loss_reason_.empty() ? "" : " (" + loss_reason_ + ")"));
  if (!tuner_.decisions().empty())
    log_->line(fmt::format("kernels     {} chosen by measurement{}; lapilli bench --explain lists their alternatives", tuner_.decisions().size(),
                           tuner_.seconds_spent() > 0 ? fmt::format(" in {:.1f} s", tuner_.seconds_spent()) : ", all of them remembered"));
  log_->line(fmt::format("data        {} tokens to train on, {} to validate; {} a step, {:.2f} passes over the data", train_shard_.token_count(),
                         val_shard_.token_count(), tokens_per_step,
                         static_cast<double>(tokens_per_step * config_.train.steps) / static_cast<double>(train_shard_.token_count())));
  if (!resumed_) return;
  const bool same_program = resumed_commit_ == commit || resumed_commit_.empty() || commit.empty();
  log_->line(fmt::format("resumed     after step {} of {}{}", state_.step, config_.train.steps,
                         same_program ? "" : fmt::format("; the checkpoint was written by lapilli {}, this is {}", resumed_commit_, commit)));
}

void Trainer::log_step(const StepResult& result, double lr, double seconds) {
  const double tokens_per_s = result.sums.rows / seconds;
  const double ceiling = options_.ceilings.matmul_flops_per_s();
  const double mfu = ceiling > 0 ? memory_->step->step_flops() / seconds / ceiling : 0;
  Json event{{"event", "step"},
             {"step", state_.step},
             {"loss", result.sums.rows > 0 ? Json(result.loss()) : Json(nullptr)},
             {"lr", lr},
             {"grad_norm", finite_or_null(result.grad_norm)},
             {"valid_tokens", static_cast<uint64_t>(result.sums.rows)},
             {"tokens_per_s", tokens_per_s},
             {"mfu", mfu > 0 ? Json(mfu) : Json(nullptr)},
             {"ms", seconds * 1e3},
             {"host_ms", memory_->step->host_ns() * 1e-6}};
  if (memory_->step->loss_scale().is_dynamic()) event["loss_scale"] = memory_->step->loss_scale().value();
  std::string teacher;
  if (config_.teacher_dim > 0 && result.sums.weight > 0) {
    const LossSums& sums = result.sums;
    event.update({{"teacher_entropy", sums.teacher_entropy / sums.weight},
                  {"teacher_cross_entropy", sums.teacher_cross_entropy / sums.weight},
                  {"teacher_kl", sums.teacher_kl / sums.weight}});
    teacher = fmt::format("  kl {:.4f}", sums.teacher_kl / sums.weight);
  }
  const bool first = seconds_per_step_ == 0;
  std::string since_start;
  if (first) {
    const double waited = seconds_since(options_.started);
    event["since_start_s"] = waited;
    since_start = fmt::format("  {:.1f} s after the start", waited);
  }
  log_->event(event);
  seconds_per_step_ = first ? seconds : 0.95 * seconds_per_step_ + 0.05 * seconds;
  const double eta = seconds_per_step_ * static_cast<double>(config_.train.steps - state_.step);
  const std::string text =
      fmt::format("step {:>6}/{}  loss {:.4f}{}  lr {:.2e}  |g| {:.3f}  {:>7.0f} tok/s{}  eta {}{}", state_.step, config_.train.steps, result.loss(),
                  teacher, lr, result.grad_norm, tokens_per_s, mfu > 0 ? fmt::format("  mfu {:.1f}%", 100 * mfu) : "", duration(eta), since_start);
  const uint64_t every = std::max<uint64_t>(config_.train.steps / 40, 1);
  if (state_.step % every == 0 || first) {
    log_->line(text);
  } else {
    log_->progress(text);
  }
}

void Trainer::evaluate() {
  const uint64_t limit = config_.train.eval_tokens == 0 ? UINT64_MAX : config_.train.eval_tokens;
  last_evaluation_ = memory_->evaluation->run(val_shard_, limit);
  const EvaluationResult& r = last_evaluation_;
  state_.best_val_loss = std::min(state_.best_val_loss, r.loss);
  log_->event({{"event", "val"},
               {"step", state_.step},
               {"loss", r.loss},
               {"perplexity", r.perplexity},
               {"bits_per_byte", r.bits_per_byte},
               {"top1", r.top1},
               {"tokens", r.tokens},
               {"stderr", r.standard_error}});
  log_->line(fmt::format("validation  step {}: loss {:.4f} +- {:.4f}, perplexity {:.3f}, {:.4f} bits per byte, top-1 {:.1f}%", state_.step, r.loss,
                         r.standard_error, r.perplexity, r.bits_per_byte, 100 * r.top1));
  show_sample();
}

void Trainer::show_sample() {
  const Tokenizer tokenizer(tokenizer_path_);
  std::vector<uint32_t> prompt(std::min<uint64_t>(4, val_shard_.token_count()));
  val_shard_.read(prompt, 0);
  const std::vector<uint32_t> drawn = memory_->generator->generate(prompt, {.tokens = 48, .seed = state_.seed}, {}, val_shard_.eos_id());
  std::vector<uint32_t> all = prompt;
  all.insert(all.end(), drawn.begin(), drawn.end());
  std::string text = tokenizer.decode(all);
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  log_->line("sample      " + text);
}

void Trainer::checkpoint() {
  TrainingState state = state_;
  state.loss_scale = memory_->step->loss_scale().state();
  state.values = memory_->step->read_values();
  state.first_moment = memory_->step->read_first_moment();
  state.second_moment = memory_->step->read_second_moment();
  log_->sync();
  const std::filesystem::path folder = save_checkpoint(options_.run_dir / "checkpoints", config_, state, tokenizer_path_, config_.train.keep);
  log_->event({{"event", "checkpoint"}, {"step", state_.step}, {"path", std::filesystem::relative(folder, options_.run_dir).string()}});
  log_->line(fmt::format("checkpoint  {}", folder.string()));
}

void Trainer::log_profile() {
  const std::vector<StepProfile> steps(profiles_.begin(), profiles_.end());
  const std::string table = profile_table(summarize(steps), options_.ceilings);
  write_file_atomically(options_.run_dir / "profile.txt", table);
  const DeviceCaps& caps = device_.caps();
  write_file_atomically(options_.run_dir / "trace.json", trace_json(steps, options_.ceilings, {{"device", caps.name}, {"driver", caps.driver}}));
  log_->line(fmt::format("profile     steps {} to {}, also in profile.txt and (for Perfetto) trace.json\n{}", steps.front().step, steps.back().step,
                         table));
}

void Trainer::log_end(double seconds) {
  if (!profiles_.empty()) log_profile();
  if (state_.step < config_.train.steps) {
    log_->line(fmt::format("stopped     after step {} of {}; continue with --resume", state_.step, config_.train.steps));
    log_->sync();
    return;
  }
  log_->event({{"event", "end"},
               {"wall_s", seconds},
               {"step", state_.step},
               {"tokens", state_.tokens},
               {"best_val_loss", finite_or_null(state_.best_val_loss)},
               {"best_val_perplexity", finite_or_null(std::exp(state_.best_val_loss))}});
  log_->line(fmt::format("done        {} steps, {} tokens in {} ({:.0f} tok/s with evaluation); best validation loss {:.4f}, perplexity {:.3f}",
                         state_.step, session_tokens_, duration(seconds), static_cast<double>(session_tokens_) / seconds, state_.best_val_loss,
                         std::exp(state_.best_val_loss)));
  log_->sync();
}

}  // namespace lapilli
