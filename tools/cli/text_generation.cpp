#include "tools/cli/text_generation.h"

#include "engine/base/log.h"
#include "shaders/embedded_shaders.h"
#include "tools/check/check_memory.h"
#include "tools/common/text_warnings.h"

namespace lapilli {

TextGenerator::TextGenerator(const TextGenerationOptions& options)
    : model_(options.checkpoint, {.selector = options.device}, options.precision),
      tokenizer_(model_.tokenizer()),
      generator_(model_.device(), model_.kept(), model_.scratch(), model_.config().model, model_.config().loss, options.precision) {
  check::require_right_kernels(model_.device().caps(), embedded_shaders_hash(), Precision::f32);
  model_.commit();
  generator_.record(model_.kernels(), model_.weights());
}

std::vector<uint32_t> TextGenerator::encode(const std::string& text, const std::string& what) const {
  std::vector<uint32_t> ids;
  uint64_t lost_bytes = 0;
  tokenizer_.encode_prefix(ids, text, /*is_end=*/true, &lost_bytes);
  warn_of_lost_text(what, lost_bytes, text.size());
  if (ids.size() > context())
    log_warning("{} has {} tokens, more than the model's context of {}: the first {} are left out", what, ids.size(), context(),
                ids.size() - context());
  return ids;
}

std::vector<uint32_t> TextGenerator::generate(const std::vector<uint32_t>& prompt, const SamplingOptions& sampling,
                                              const std::function<bool(uint32_t)>& on_token, Generator::Cache cache, uint32_t stream) {
  return generator_.generate(prompt, sampling, on_token, tokenizer_.eos_id(), cache, stream);
}

void add_text_generation_options(Command& command, TextGenerationOptions& options) {
  SamplingOptions& sampling = options.sampling;
  add_checkpoint_argument(command, options.checkpoint);
  command.add_option("--tokens", sampling.tokens, "Tokens to generate")->check(positive())->type_name("N")->capture_default_str();
  command.add_option("--temperature", sampling.temperature, "0: always the most likely token; 1: the model's probabilities")
      ->check(not_negative())
      ->check(between(0.0, 100.0))
      ->type_name("T")
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Sample from the K most likely tokens; 0: from all")->type_name("K")->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Sample from the smallest set of tokens with this total probability")
      ->check(positive())
      ->check(between(0.0, 1.0))
      ->type_name("P")
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "Sample from tokens at least P times as likely as the most likely one")
      ->check(not_negative())
      ->check(between(0.0, 1.0))
      ->type_name("P")
      ->capture_default_str();
  command.add_option("--repeat-penalty", sampling.repeat_penalty, "Make tokens that the model has seen less likely; 1: not")
      ->check(positive())
      ->check(between(0.01, 100.0))
      ->type_name("R")
      ->capture_default_str();
  command.add_option("--seed", sampling.seed, "Seed of the random numbers")->check(not_negative())->type_name("S")->capture_default_str();
  add_dtype_option(command, options.precision, "Weights for single tokens: f32, f16 or bf16");
  add_device_option(command, options.device);
}

}  // namespace lapilli
