#include "model/train/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/philox.h"
#include "model/matmul/matmul.h"
#include "model/matmul/matvec.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kInputWords = 3;  // behind the ids
// A pass over n tokens costs about as much as so many single ones, or more: it reads the weights once, but computes all of its length.
constexpr size_t kTokensOfPass = 8;

}  // namespace

Generator::Generator(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss, Precision weights_in)
    : device_(device),
      config_(config),
      loss_(loss),
      weights_in_(weights_in),
      words_(device, kept, kWordBytes * (config.context + kInputWords), "batches", Direction::to_device),
      logits_(device, kept, kWordBytes * config.vocab_size, "batches", Direction::to_host),
      last_(reserve_tensor(scratch, {1, config.dim}, "activations")),
      cache_(reserve_key_value_cache(scratch, config.layers, attention_shape(config, 1, config.context))),
      decoder_(scratch, config, weights_in) {
  Arena::AliasScope alias_scope(scratch);
  for (uint32_t length = std::min(config.context, 16U);; length = std::min(2 * length, config.context)) {
    alias_scope.next();
    passes_.push_back({length, std::make_unique<Transformer>(scratch, device.caps(), config, 1, length, Purpose::evaluation), nullptr});
    if (length == config.context) break;
  }
}

ConstTensor Generator::tokens(uint32_t count) const { return {words_.device_slice().sub(0, kWordBytes * count), {count}, DType::u32}; }

Generator::InputTensors Generator::inputs() const {
  const auto word = [&](uint32_t i) {
    return ConstTensor(words_.device_slice().sub(kWordBytes * (config_.context + i), kWordBytes), {1}, DType::u32);
  };
  return {.row = word(0), .one = word(1), .position = word(2)};
}

void Generator::record_head(Ops& ops, ConstTensor hidden, const ModelWeights& weights) const {
  const Tensor head = weights.operand(weights.head_name(), weights_in_).row_range(0, config_.vocab_size);
  matvec(ops, Tensor(logits_.device_slice(), {1, config_.vocab_size}), head, hidden, {.alpha = 1.0F / loss_.temperature});
  logits_.record(ops.program);
}

void Generator::record(KernelLibrary& kernels, const ModelWeights& weights, bool quick) {
  const InputTensors in = inputs();
  for (Pass& pass : passes_) {
    pass.program = std::make_unique<Program>(device_, "generation");
    Ops ops{.program = *pass.program, .kernels = kernels, .quick = quick};
    words_.record(*pass.program);
    BatchTensors batch;
    batch.tokens = tokens(pass.length);
    pass.transformer->forward_into_cache(ops, weights, batch, cache_, in.position);
    pass.program->dispatch(ops.kernel("loss_gather", ops.row_workgroup(), type_constants(last_, pass.transformer->output())),
                           args::LossGatherArgs{
                               .compact = last_, .x = pass.transformer->output(), .token_of_row = in.row, .num_valid = in.one, .dim = config_.dim},
                           1);
    record_head(ops, last_, weights);
    pass.program->finish();
  }
  decode_ = std::make_unique<Program>(device_, "decoding");
  Ops ops{.program = *decode_, .kernels = kernels, .quick = quick};
  words_.record(*decode_);
  decoder_.forward(ops, weights, cache_, tokens(1), in.position);
  record_head(ops, decoder_.output(), weights);
  decode_->finish();
}

void Generator::prepare() {
  for (const Pass& pass : passes_) pass.program->prepare();
  decode_->prepare();
}

const Generator::Pass& Generator::pass_for(size_t tokens) const {
  return *std::ranges::find_if(passes_, [&](const Pass& pass) { return pass.length >= tokens; });
}

std::vector<float> Generator::run(Program& program, std::span<const uint32_t> tokens, uint32_t position) {
  std::vector<uint32_t> words(config_.context + kInputWords);
  std::ranges::copy(tokens, words.begin());
  words[config_.context] = static_cast<uint32_t>(tokens.size()) - 1;
  words[config_.context + 1] = 1;
  words[config_.context + 2] = position;
  std::memcpy(words_.host().data(), words.data(), words.size() * kWordBytes);
  program.run();
  std::vector<float> logits(config_.vocab_size);
  std::memcpy(logits.data(), logits_.host().data(), logits.size() * kWordBytes);
  if (loss_.softcap > 0)
    for (float& logit : logits) logit = loss_.softcap * std::tanh(logit / loss_.softcap);
  return logits;
}

std::vector<float> Generator::next_logits(std::span<const uint32_t> tokens) {
  CHECK(!tokens.empty() && tokens.size() <= config_.context, "{} tokens", tokens.size());
  cached_.assign(tokens.begin(), tokens.end());
  return run(*pass_for(tokens.size()).program, tokens, 0);
}

std::vector<float> Generator::next_logits_after(uint32_t token) {
  CHECK(cached_.size() < config_.context, "the context of {} tokens is full", config_.context);
  const auto position = static_cast<uint32_t>(cached_.size());
  cached_.push_back(token);
  return run(*decode_, {&token, 1}, position);
}

std::vector<float> Generator::read(std::span<const uint32_t> tokens) {
  // The last token is read in any case: only its logits are wanted.
  const auto differ = std::ranges::mismatch(cached_, tokens.first(tokens.size() - 1));
  const auto same = static_cast<size_t>(differ.in1 - cached_.begin());
  const size_t left = tokens.size() - same;
  if (same == 0 || (left > 1 && left * kTokensOfPass > pass_for(tokens.size()).length)) return next_logits(tokens);
  cached_.resize(same);
  std::vector<float> logits;
  for (const uint32_t token : tokens.subspan(same)) logits = next_logits_after(token);
  return logits;
}

std::vector<uint32_t> Generator::generate(const std::vector<uint32_t>& prompt, const SamplingOptions& options,
                                          const std::function<bool(uint32_t)>& on_token, std::optional<uint32_t> stop, Cache cache, uint32_t stream) {
  CHECK(!prompt.empty());
  for (const uint32_t id : prompt)
    if (id >= config_.vocab_size) throw Error("the prompt holds token {}, but the model's vocabulary has {}", id, config_.vocab_size);
  if (cache == Cache::lost) cached_.clear();
  const size_t most = std::min<size_t>(prompt.size(), config_.context);
  std::vector<uint32_t> seen(prompt.end() - static_cast<std::ptrdiff_t>(most), prompt.end()), drawn;
  for (uint32_t i = 0; i < options.tokens; ++i) {
    if (seen.size() > config_.context) seen.erase(seen.begin(), seen.end() - std::max<std::ptrdiff_t>(config_.context / 2, 1));
    const uint32_t token = sample_token(read(seen), seen, options, philox_uniform(options.seed, i, stream, 0));
    if (stop == token) break;
    drawn.push_back(token);
    seen.push_back(token);
    if (on_token && !on_token(token)) break;
  }
  return drawn;
}

}  // namespace lapilli
