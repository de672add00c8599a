#pragma once
// What `generate` and `chat` share: a model ready to continue texts, and the options of sampling.

#include <functional>
#include <string>
#include <vector>

#include "model/train/generator.h"
#include "tools/common/command_options.h"
#include "tools/common/loaded_model.h"

namespace lapilli {

struct TextGenerationOptions {
  std::string checkpoint, device;
  Precision precision = Precision::f32;  // of the weights, in the work for single tokens
  SamplingOptions sampling;
};
void add_text_generation_options(Command& command, TextGenerationOptions& options);

// A checkpoint on a device with a recorded generator. Refuses kernels that `lapilli check` found wrong.
class TextGenerator {
 public:
  explicit TextGenerator(const TextGenerationOptions& options);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  uint32_t context() const { return model_.config().model.context; }
  // The ids of a prompt; warns of text that the tokenizer loses, and of what is beyond the context. `what`: "the prompt".
  std::vector<uint32_t> encode(const std::string& text, const std::string& what) const;
  // Generator::generate() with this text's pieces as they come; ends at an end-of-text token.
  std::vector<uint32_t> generate(const std::vector<uint32_t>& prompt, const SamplingOptions& sampling, const std::function<bool(uint32_t)>& on_token,
                                 Generator::Cache cache, uint32_t stream);

 private:
  LoadedModel model_;
  Tokenizer tokenizer_;
  Generator generator_;
};

}  // namespace lapilli
