#include "model/train/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/base/philox.h"
#include "model/matmul/matmul.h"
#include "shaders/loss/args.h"

namespace lapilli {

Generator::Generator(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss)
    : device_(device),
      config_(config),
      loss_(loss),
      tokens_(device, kept, kWordBytes * (config.context + 2), "batches", Direction::to_device),
      logits_(device, kept, kWordBytes * config.vocab_size, "batches", Direction::to_host),
      last_(reserve_tensor(scratch, {1, config.dim}, "activations")) {
  Arena::AliasScope alias_scope(scratch);
  for (uint32_t length = std::min(config.context, 16U);; length = std::min(2 * length, config.context)) {
    alias_scope.next();
    passes_.push_back({length, std::make_unique<Transformer>(scratch, device.caps(), config, 1, length, Purpose::evaluation), nullptr});
    if (length == config.context) break;
  }
}

void Generator::record(KernelLibrary& kernels, const ModelWeights& weights, bool quick) {
  const Slice& words = tokens_.device_slice();
  const ConstTensor row(words.sub(kWordBytes * config_.context, kWordBytes), {1}, DType::u32);
  const ConstTensor one(words.sub(kWordBytes * (config_.context + 1), kWordBytes), {1}, DType::u32);
  const Tensor logits(logits_.device_slice(), {1, config_.vocab_size});
  const ConstTensor head = weights.head().row_range(0, config_.vocab_size);
  for (Pass& pass : passes_) {
    pass.program = std::make_unique<Program>(device_, "generation");
    Ops ops{.program = *pass.program, .kernels = kernels, .quick = quick};
    tokens_.record(*pass.program);
    BatchTensors batch;
    batch.tokens = ConstTensor(words.sub(0, kWordBytes * pass.length), {pass.length}, DType::u32);
    pass.transformer->forward(ops, weights, batch, {}, 0);
    pass.program->dispatch(ops.kernel("loss_gather", ops.row_workgroup(), type_constants(last_, pass.transformer->output())),
                           args::LossGatherArgs{
                               .compact = last_, .x = pass.transformer->output(), .token_of_row = row, .num_valid = one, .dim = config_.dim},
                           1);
    matmul_nt(ops, logits, last_, head, Into::overwrite, {.alpha = 1.0F / loss_.temperature});
    logits_.record(*pass.program);
    pass.program->finish();
  }
}

void Generator::prepare() {
  for (const Pass& pass : passes_) pass.program->prepare();
}

std::vector<float> Generator::next_logits(std::span<const uint32_t> tokens) {
  CHECK(!tokens.empty() && tokens.size() <= config_.context, "{} tokens", tokens.size());
  const auto pass = std::ranges::find_if(passes_, [&](const Pass& p) { return p.length >= tokens.size(); });
  std::vector<uint32_t> words(config_.context + 2);
  std::ranges::copy(tokens, words.begin());
  words[config_.context] = static_cast<uint32_t>(tokens.size()) - 1;
  words[config_.context + 1] = 1;
  std::memcpy(tokens_.host().data(), words.data(), words.size() * kWordBytes);
  pass->program->run();
  std::vector<float> logits(config_.vocab_size);
  std::memcpy(logits.data(), logits_.host().data(), logits.size() * kWordBytes);
  if (loss_.softcap > 0)
    for (float& logit : logits) logit = loss_.softcap * std::tanh(logit / loss_.softcap);
  return logits;
}

std::vector<uint32_t> Generator::generate(const std::vector<uint32_t>& prompt, const SamplingOptions& options,
                                          const std::function<bool(uint32_t)>& on_token, std::optional<uint32_t> stop) {
  CHECK(!prompt.empty());
  for (const uint32_t id : prompt)
    if (id >= config_.vocab_size) throw Error("the prompt holds token {}, but the model's vocabulary has {}", id, config_.vocab_size);
  const size_t most = std::min<size_t>(prompt.size(), config_.context);
  std::vector<uint32_t> seen(prompt.end() - static_cast<std::ptrdiff_t>(most), prompt.end()), drawn;
  for (uint32_t i = 0; i < options.tokens; ++i) {
    if (seen.size() > config_.context) seen.erase(seen.begin(), seen.end() - std::max<std::ptrdiff_t>(config_.context / 2, 1));
    const uint32_t token = sample_token(next_logits(seen), options, philox_uniform(options.seed, i, 0, 0));
    if (stop == token) break;
    drawn.push_back(token);
    seen.push_back(token);
    if (on_token && !on_token(token)) break;
  }
  return drawn;
}

uint32_t sample_token(std::span<const float> logits, const SamplingOptions& options, double uniform) {
  std::vector<uint32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0U);
  const auto likelier = [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  if (options.temperature <= 0) return *std::ranges::min_element(ids, likelier);
  const size_t kept = options.top_k == 0 ? ids.size() : std::min<size_t>(options.top_k, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(kept), ids.end(), likelier);
  ids.resize(kept);
  std::vector<double> probabilities;
  const auto best = static_cast<double>(logits[ids[0]]);
  for (const uint32_t id : ids) probabilities.push_back(std::exp((static_cast<double>(logits[id]) - best) / options.temperature));
  double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  double cut = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    cut += probabilities[i];
    if (cut < options.top_p * sum) continue;
    probabilities.resize(i + 1);
    sum = cut;
    break;
  }
  double target = uniform * sum;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    target -= probabilities[i];
    if (target < 0) return ids[i];
  }
  return ids[probabilities.size() - 1];
}

}  // namespace lapilli
