// lapilli generate: streams text sampled from a checkpoint.

#include <fmt/format.h>

#include "engine/base/log.h"
#include "engine/base/utf8.h"
#include "model/train/generator.h"
#include "shaders/embedded_shaders.h"
#include "tools/check/check_memory.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/loaded_model.h"
#include "tools/common/text_warnings.h"

namespace lapilli {

namespace {

struct GenerateOptions {
  std::string checkpoint, prompt, device;
  SamplingOptions sampling;
};

void generate(const GenerateOptions& options) {
  if (const size_t bad = find_invalid_utf8(options.prompt); bad != std::string_view::npos)
    throw UsageError("--prompt", fmt::format("is not UTF-8: malformed character at byte {}", bad));
  LoadedModel model(options.checkpoint, {.selector = options.device});
  check::require_right_kernels(model.device().caps(), embedded_shaders_hash(), Precision::f32);
  const Tokenizer tokenizer = model.tokenizer();
  std::vector<uint32_t> prompt;
  uint64_t lost_bytes = 0;
  tokenizer.encode_prefix(prompt, options.prompt, /*is_end=*/true, &lost_bytes);
  warn_of_lost_text("the prompt", lost_bytes, options.prompt.size());
  // An empty prompt: start a new document after an end-of-text token.
  if (prompt.empty() && tokenizer.eos_id()) prompt.push_back(*tokenizer.eos_id());
  if (prompt.empty()) throw UsageError("--prompt", "must not be empty: this tokenizer has no end-of-text token to start from");

  Generator generator(model.device(), model.kept(), model.scratch(), model.config().model, model.config().loss);
  model.commit();
  generator.record(model.kernels(), model.weights());
  if (const uint32_t context = model.config().model.context; prompt.size() > context)
    log_warning("the prompt has {} tokens, more than the model's context of {}: the first {} are left out", prompt.size(), context,
                prompt.size() - context);
  TextStream text;
  text.print(options.prompt);
  generator.generate(
      prompt, options.sampling,
      [&](uint32_t token) {
        text.print(tokenizer.piece_bytes(token));
        return true;
      },
      tokenizer.eos_id());
  print("\n");
}

}  // namespace

void add_generate_command(Command& program) {
  Command* command = program.add_subcommand("generate", "Continue a text");
  command->footer(
      "The same seed, checkpoint, prompt and device give the same text. It ends after --tokens, or at an end-of-text token.\n"
      "The model sees the last tokens of the prompt, as many as its context. On a terminal, control characters and broken UTF-8 are shown as \\x1B\n"
      "and the like; a pipe or a file gets the bytes as they are. An unfinished character at the end is left out.\n"
      "Example: lapilli generate runs/first --prompt 'Once upon a time' --tokens 100");
  const auto options = std::make_shared<GenerateOptions>();
  SamplingOptions& sampling = options->sampling;
  add_checkpoint_argument(*command, options->checkpoint);
  command->add_option("--prompt", options->prompt, "Text to continue; \"\" begins a new document")->required()->type_name("TEXT");
  command->add_option("--tokens", sampling.tokens, "Tokens to generate")->check(positive())->type_name("N")->capture_default_str();
  command->add_option("--temperature", sampling.temperature, "0: always the most likely token; 1: the model's probabilities")
      ->check(not_negative())
      ->check(between(0.0, 100.0))
      ->type_name("T")
      ->capture_default_str();
  command->add_option("--top-k", sampling.top_k, "Sample from the K most likely tokens; 0: from all")->type_name("K")->capture_default_str();
  command->add_option("--top-p", sampling.top_p, "Sample from the smallest set of tokens with this total probability")
      ->check(positive())
      ->check(between(0.0, 1.0))
      ->type_name("P")
      ->capture_default_str();
  command->add_option("--seed", sampling.seed, "Seed of the random numbers")->check(not_negative())->type_name("S")->capture_default_str();
  add_device_option(*command, options->device);
  command->callback([options] { generate(*options); });
}

}  // namespace lapilli
