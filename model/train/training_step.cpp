#include "model/train/training_step.h"

#include <cmath>
#include <cstring>

#include "model/transformer/flops.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

constexpr uint64_t kControlWords = 10;
constexpr uint64_t kScalarsWord = 0, kRandomWord = 4, kGradientFactorWord = 8, kUnscaleWord = 9;
constexpr uint64_t kNormWords = 2;
constexpr uint64_t kResultWords = args::kSumCount + args::kStatusWords;  // per micro-batch

// Before the device sees them: a file may change under a run.
void require_tokens_below(const Batch& batch, uint32_t vocab, uint64_t step) {
  for (size_t row = 0; row < batch.inputs.size(); ++row) {
    const uint32_t input = batch.inputs[row], target = batch.weights[row] == 0 ? args::kIgnoreIndex : batch.targets[row];
    const bool is_input = input >= vocab;
    if (!is_input && (target < vocab || target == args::kIgnoreIndex)) continue;
    throw Error(
        "step {}, micro-batch {}: the {} of row {} is {}, but the vocabulary has {} tokens; the data was made for another vocabulary, or changed",
        step, batch.index, is_input ? "input" : "target", row, is_input ? input : target, vocab);
  }
}

}  // namespace

TrainingStep::TrainingStep(Device& device, Arena& kept, Arena& scratch, const Config& config, const ParameterTable& table,
                           const ModelWeights& weights, Transformer* teacher, const ModelWeights* teacher_weights)
    : device_(device),
      config_(config),
      table_(table),
      weights_(weights),
      teacher_(teacher),
      teacher_weights_(teacher_weights),
      gradients_(kept, table, "gradients"),
      first_moment_(kept, table, "optimizer"),
      second_moment_(kept, table, "optimizer"),
      inputs_(device, kept, config.data.accumulate, config.data.batch * config.model.context, config.data.document_mask),
      control_(device, kept, kControlWords * kWordBytes, "batches", Direction::to_device),
      results_(device, kept, (kNormWords + config.data.accumulate * kResultWords) * kWordBytes, "batches", Direction::to_host),
      transformer_(scratch, device.caps(), config.model, config.data.batch, config.model.context, Purpose::training, config.train.recompute,
                   config.train.precision),
      loss_(scratch, device.caps(), micro_batch_loss_shape(config), config.loss, plan_loss(config.loss, micro_batch_loss_shape(config), true),
            matmul_kernel(device.caps(), config.train.precision)),
      nll_(reserve_tensor(scratch, {config.data.batch * config.model.context}, "loss")),
      norm_scratch_(reserve_tensor(scratch, {static_cast<uint32_t>(gradient_norm_scratch_floats(table.count()))}, "gradients")),
      workspace_(reserve_matmul_workspace(scratch, device.caps())),
      loss_scale_(config.train.precision) {}

Tensor TrainingStep::control_tensor(uint64_t first_word, uint32_t words, DType dtype) const {
  return {control_.device_slice().sub(kWordBytes * first_word, kWordBytes * words), {words}, dtype};
}

void TrainingStep::record_micro_batch(Ops& ops, uint32_t micro_batch) {
  const BatchTensors batch = inputs_.tensors(micro_batch);
  const Tensor random_state = config_.model.dropout > 0 ? control_tensor(kRandomWord, 4, DType::u32) : Tensor();
  const uint64_t at = kWordBytes * (kNormWords + micro_batch * kResultWords);
  const Tensor sums(results_.device_slice().sub(at, kWordBytes * args::kSumCount), {args::kSumCount});
  const Tensor status(results_.device_slice().sub(at + kWordBytes * args::kSumCount, kWordBytes * args::kStatusWords), {args::kStatusWords},
                      DType::u32);
  const Into into = micro_batch == 0 ? Into::overwrite : Into::accumulate;

  transformer_.forward(ops, weights_, batch, random_state, micro_batch);
  if (teacher_ != nullptr) {
    const Program::Scope scope(ops.program, "teacher");
    teacher_->forward(ops, *teacher_weights_, batch, {}, 0);
  }
  {
    const Program::Scope scope(ops.program, "loss");
    if (micro_batch == 0 && !config_.model.tie_embeddings) ops.program.fill(gradients_["wte.weight"].slice(), 0);
    loss_.forward_backward(ops, {.nll = nll_, .sums = sums, .status = status},
                           {.d_x = transformer_.d_output(), .d_w = gradients_[weights_.head_name()], .into_d_w = into},
                           {.x = transformer_.output(),
                            .w = weights_.operand(weights_.head_name(), config_.train.precision),
                            .targets = batch.targets,
                            .weights = batch.weights,
                            .teacher_x = teacher_ == nullptr ? ConstTensor() : teacher_->output(),
                            .teacher_w = teacher_ == nullptr ? ConstTensor()
                                                             : teacher_weights_->operand(teacher_weights_->head_name(), config_.train.precision)},
                           control_tensor(kGradientFactorWord, 1, DType::f32));
  }
  transformer_.backward(ops, gradients_, weights_, batch, random_state, micro_batch, into);
}

void TrainingStep::record_update(Ops& ops) {
  const Program::Scope scope(ops.program, "optimizer");
  const OptimConfig& optim = config_.optim;
  const Tensor norm(results_.device_slice().sub(0, kNormWords * kWordBytes), {2});
  gradient_norm(ops, norm, norm_scratch_, gradients_.all(), control_tensor(kUnscaleWord, 1, DType::f32), static_cast<float>(optim.clip));
  const auto update = [&](uint64_t first, uint64_t end, Tensor copies, double weight_decay) {
    if (first == end) return;
    const auto part = [&](const ParameterArray& array) { return array.range(first, end - first); };
    adamw(ops, part(weights_.parameters()), part(first_moment_), part(second_moment_), copies, part(gradients_),
          control_tensor(kScalarsWord, 4, DType::f32), norm,
          {.beta1 = optim.beta1, .beta2 = optim.beta2, .eps = optim.eps, .weight_decay = weight_decay});
  };
  const uint64_t decayed = table_.decayed_count(), copied = weights_.shadow_weights() ? weights_.first_shadowed() : decayed;
  update(0, copied, {}, optim.weight_decay);
  update(copied, decayed, weights_.shadow_weights(), optim.weight_decay);
  update(decayed, table_.count(), {}, 0);
}

std::unique_ptr<Program> TrainingStep::recorded(KernelLibrary& kernels, bool profiled, KernelTuner* tuner, bool quick) {
  auto program = std::make_unique<Program>(device_, "training step", profiled);
  Ops ops{.program = *program, .kernels = kernels, .precision = config_.train.precision, .workspace = workspace_, .quick = quick, .tuner = tuner};
  {
    const Program::Scope scope(*program, "transfer");
    inputs_.record(*program);
    control_.record(*program);
  }
  for (uint32_t m = 0; m < config_.data.accumulate; ++m) record_micro_batch(ops, m);
  record_update(ops);
  {
    const Program::Scope scope(*program, "transfer");
    results_.record(*program);
  }
  program->finish();
  return program;
}

void TrainingStep::record(KernelLibrary& kernels, bool profiled, KernelTuner* tuner) {
  CHECK(program_ == nullptr, "recorded twice");
  program_ = recorded(kernels, profiled, tuner, /*quick=*/false);
}

void TrainingStep::record_quick(KernelLibrary& kernels) { quick_ = recorded(kernels, /*profiled=*/false, nullptr, /*quick=*/true); }

Program& TrainingStep::current() {
  if (quick_ && program_->is_compiled()) quick_.reset();
  return quick_ ? *quick_ : *program_;
}

void TrainingStep::load(const TrainingState& state) {
  const auto put = [&](const ParameterArray& array, const std::vector<float>& source) {
    array.write(device_, source.empty() ? std::vector<float>(table_.count()) : source);
  };
  put(first_moment_, state.first_moment);
  put(second_moment_, state.second_moment);
  loss_scale_ = LossScale(config_.train.precision, state.loss_scale);
  updates_ = state.updates;
}

void TrainingStep::store_counters(TrainingState& state) const {
  state.loss_scale = loss_scale_.state();
  state.updates = updates_;
}

std::vector<float> TrainingStep::read_values() const { return weights_.parameters().read(device_); }
std::vector<float> TrainingStep::read_first_moment() const { return first_moment_.read(device_); }
std::vector<float> TrainingStep::read_second_moment() const { return second_moment_.read(device_); }
std::vector<float> TrainingStep::read_gradients() const {
  auto gradients = gradients_.read(device_);
  for (float& g : gradients) g *= static_cast<float>(1 / run_scale_);
  return gradients;
}

StepResult TrainingStep::run(std::span<const Batch> batches, uint64_t step, double lr, uint64_t seed) {
  CHECK_EQ(batches.size(), size_t{config_.data.accumulate});
  last_step_ = step;
  host_.clear();
  int64_t begin_ns = steady_now_ns();
  const auto end_span = [&](const char* name, bool waits_for_device = false) {
    const int64_t now_ns = steady_now_ns();
    host_.push_back({.name = name, .begin_ns = begin_ns, .end_ns = now_ns, .waits_for_device = waits_for_device});
    begin_ns = now_ns;
  };
  double weight = 0;
  for (uint32_t m = 0; m < batches.size(); ++m) {
    require_tokens_below(batches[m], config_.model.vocab_size, step);
    for (size_t n = 0; n < batches[m].weights.size(); ++n)
      if (batches[m].targets[n] != args::kIgnoreIndex) weight += static_cast<double>(batches[m].weights[n]);
  }
  for (uint32_t m = 0; m < batches.size(); ++m) inputs_.write(m, batches[m]);
  const auto t = static_cast<double>(updates_ + 1);
  run_scale_ = loss_scale_.value();
  const float floats[] = {static_cast<float>(lr), static_cast<float>(1 / (1 - std::pow(config_.optim.beta1, t))),
                          static_cast<float>(1 / (1 - std::pow(config_.optim.beta2, t))), weight > 0 ? 1.0F : 0.0F};
  const uint32_t random[] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(step),
                             static_cast<uint32_t>(step >> 32)};
  const float inverse[] = {weight > 0 ? static_cast<float>(run_scale_ / weight) : 0.0F, static_cast<float>(1 / run_scale_)};
  std::byte* control = control_.host().data();
  std::memcpy(control + kScalarsWord * kWordBytes, floats, sizeof floats);
  std::memcpy(control + kRandomWord * kWordBytes, random, sizeof random);
  std::memcpy(control + kGradientFactorWord * kWordBytes, inverse, sizeof inverse);

  end_span("upload");
  Program& program = current();
  program.submit();
  end_span("submit");
  program.wait();
  end_span("wait for the device", true);
  StepResult result = read_results(batches, step);
  end_span("read results");
  return result;
}

StepResult TrainingStep::read_results(std::span<const Batch> batches, uint64_t step) {
  const std::byte* words = results_.host().data();
  float norm = 0;
  std::memcpy(&norm, words, sizeof norm);
  StepResult result{.grad_norm = static_cast<double>(norm)};
  for (uint32_t m = 0; m < config_.data.accumulate; ++m) {
    float sums[args::kSumCount];
    uint32_t status[args::kStatusWords];
    const std::byte* at = words + (kNormWords + m * kResultWords) * kWordBytes;
    std::memcpy(sums, at, sizeof sums);
    std::memcpy(status, at + sizeof sums, sizeof status);
    require_good_targets(status, config_.model.vocab_size, fmt::format("step {}, micro-batch {}", step, batches[m].index));
    if (const auto row = non_finite_row(status); row && result.not_finite.empty())
      result.not_finite = fmt::format("the loss of row {} of micro-batch {}", *row, batches[m].index);
    result.sums += read_loss_sums(sums);
  }
  const bool is_finite = std::isfinite(result.grad_norm);  // as the optimizer sees it: otherwise it changes nothing
  if (result.sums.rows == 0) {
    result.skipped = Skipped::no_targets;
  } else if (is_finite) {
    ++updates_;
    loss_scale_.note_good_step();
  } else if (result.not_finite.empty() && loss_scale_.note_overflow()) {
    result.skipped = Skipped::overflow;
  } else {
    result.skipped = Skipped::not_finite;
    if (result.not_finite.empty()) result.not_finite = "the gradient norm";
  }
  return result;
}

double TrainingStep::step_flops() const {
  return flops_per_token(config_.model, table_) * config_.data.batch * config_.data.accumulate * config_.model.context;
}

}  // namespace lapilli
