#include "model/train/evaluation.h"

#include <cmath>
#include <cstring>
#include <limits>
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

LossOptions scoring_options(LossOptions options) {
  options.label_smoothing = 0;
  options.z_loss = 0;
  return options;
}

double bits_per_byte(double nats, double bytes) { return bytes > 0 ? nats / std::log(2.0) / bytes : std::numeric_limits<double>::quiet_NaN(); }

}  // namespace

EvaluationPass::EvaluationPass(Device& device, Arena& kept, Arena& scratch, const ModelConfig& config, const LossOptions& loss, Precision precision,
                               uint32_t batch, uint32_t context, bool document_mask)
    : device_(device),
      config_(config),
      precision_(precision),
      batch_(batch),
      context_(context),
      document_mask_(document_mask),
      inputs_(device, kept, 1, batch * context, document_mask),
      results_(device, kept, (uint64_t{batch} * context + args::kSumCount + args::kStatusWords) * kWordBytes, "batches", Direction::to_host),
      transformer_(scratch, device.caps(), config, batch, context, Purpose::evaluation, false, precision),
      loss_(scratch, device.caps(), {batch * context, config.dim, config.vocab_size}, scoring_options(loss),
            plan_loss(loss, {batch * context, config.dim, config.vocab_size}, false), matmul_kernel(device.caps(), precision)),
      workspace_(reserve_matmul_workspace(scratch, device.caps())) {}

std::unique_ptr<Program> EvaluationPass::recorded(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner, bool quick) {
  auto program = std::make_unique<Program>(device_, "evaluation");
  Ops ops{.program = *program, .kernels = kernels, .precision = precision_, .workspace = workspace_, .quick = quick, .tuner = tuner};
  inputs_.record(*program);
  const BatchTensors batch = inputs_.tensors(0);
  const uint32_t n = batch_ * context_;
  const Slice& results = results_.device_slice();
  const Tensor nll(results.sub(0, kWordBytes * n), {n});
  const Tensor sums(results.sub(kWordBytes * n, kWordBytes * args::kSumCount), {args::kSumCount});
  const Tensor status(results.sub(kWordBytes * (n + args::kSumCount), kWordBytes * args::kStatusWords), {args::kStatusWords}, DType::u32);
  transformer_.forward(ops, weights, batch, {}, 0);
  loss_.forward(ops, {.nll = nll, .sums = sums, .status = status},
                {.x = transformer_.output(),
                 .w = weights.operand(weights.head_name(), precision_),
                 .targets = batch.targets,
                 .weights = batch.weights});
  results_.record(*program);
  program->finish();
  return program;
}

void EvaluationPass::record(KernelLibrary& kernels, const ModelWeights& weights, KernelTuner* tuner) {
  program_ = recorded(kernels, weights, tuner, /*quick=*/false);
}

void EvaluationPass::record_quick(KernelLibrary& kernels, const ModelWeights& weights) {
  quick_ = recorded(kernels, weights, nullptr, /*quick=*/true);
}

Program& EvaluationPass::current() {
  if (quick_ && program_->is_compiled()) quick_.reset();
  return quick_ ? *quick_ : *program_;
}

std::vector<float> EvaluationPass::run_batch(const Batch& batch, LossSums* sums) {
  inputs_.write(0, batch);
  current().run();
  const uint32_t n = batch_ * context_;
  const std::byte* words = results_.host().data();
  std::vector<float> nll(n);
  float sum_words[args::kSumCount];
  uint32_t status[args::kStatusWords];
  std::memcpy(nll.data(), words, kWordBytes * n);
  std::memcpy(sum_words, words + kWordBytes * n, sizeof sum_words);
  std::memcpy(status, words + kWordBytes * (n + args::kSumCount), sizeof status);
  require_good_targets(status, config_.vocab_size, fmt::format("evaluation batch {}", batch.index));
  if (sums != nullptr) *sums = read_loss_sums(sum_words);
  return nll;
}

EvaluationResult mixed(std::span<const EvaluationResult> parts, std::span<const double> shares) {
  CHECK(!parts.empty() && parts.size() == shares.size(), "{} parts, {} shares", parts.size(), shares.size());
  if (parts.size() == 1) return parts[0];
  EvaluationResult result;
  double variance = 0, bytes_per_token = 0;
  for (size_t k = 0; k < parts.size(); ++k) {
    const EvaluationResult& part = parts[k];
    result.is_complete = result.is_complete && part.is_complete;
    result.loss += shares[k] * part.loss;
    result.top1 += shares[k] * part.top1;
    variance += shares[k] * shares[k] * part.standard_error * part.standard_error;
    bytes_per_token += shares[k] * part.text_bytes / static_cast<double>(part.tokens);
    result.text_bytes += part.text_bytes;
    result.tokens += part.tokens;
    result.not_finite += part.not_finite;
  }
  result.perplexity = std::exp(result.loss);
  result.standard_error = std::sqrt(variance);
  result.bits_per_byte = bits_per_byte(result.loss, bytes_per_token);
  return result;
}

EvaluationResult EvaluationPass::run(const TokenShard& shard, uint64_t max_targets, uint32_t stride, const std::atomic<bool>* stop) {
  const EvalWindows windows(shard, {.batch = batch_, .context = context_, .document_mask = document_mask_}, stride, max_targets);
  Prefetcher prefetcher([&](uint64_t index) { return windows.batch(std::min(index, windows.batch_count() - 1)); });
  double nats = 0, squares = 0, top1_correct = 0;
  uint64_t token_bytes = 0;
  EvaluationResult result;
  for (uint64_t i = 0; i < windows.batch_count(); ++i) {
    if (stop != nullptr && stop->load()) {
      result.is_complete = false;
      return result;
    }
    const Batch batch = prefetcher.next();
    LossSums sums;
    const std::vector<float> nll = run_batch(batch, &sums);
    for (size_t n = 0; n < nll.size(); ++n) {
      if (batch.weights[n] == 0) continue;
      const auto value = static_cast<double>(nll[n]);
      result.not_finite += std::isfinite(value) ? 0 : 1;
      nats += value;
      squares += value * value;
    }
    top1_correct += sums.top1_correct;
    token_bytes += batch.target_bytes;
    result.tokens += batch.valid_targets;
  }
  if (result.tokens == 0) throw Error("'{}' has no target to score", shard.name());
  const auto count = static_cast<double>(result.tokens);
  result.loss = nats / count;
  result.perplexity = std::exp(result.loss);
  result.text_bytes = shard.text_bytes_of(token_bytes, result.tokens);
  result.bits_per_byte = bits_per_byte(nats, result.text_bytes);
  result.top1 = top1_correct / count;
  const double variance = std::max(0.0, squares / count - result.loss * result.loss);
  result.standard_error = count > 1 ? std::sqrt(variance / (count - 1)) : 0;
  return result;
}

}  // namespace lapilli
