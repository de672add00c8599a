// lapilli generate: streams text sampled from a checkpoint.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "tools/cli/text_generation.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct GenerateOptions : TextGenerationOptions {
  std::string prompt, prompts;
  bool as_json = false;
};

// "a", {"prompt": "a"} or {"text": "a"}.
std::string prompt_of(const nlohmann::ordered_json& line, const std::string& where) {
  if (line.is_string()) return line.get<std::string>();
  for (const char* key : {"prompt", "text"})
    if (line.is_object() && line.contains(key) && line[key].is_string()) return line[key].get<std::string>();
  throw Error("{} is neither a string nor an object with \"prompt\"", where);
}

// A prompt a line; lines of a file that ends in .jsonl are JSON.
std::vector<std::string> read_prompts(const std::string& path) {
  const std::string text = read_text_file(path);
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    throw Error("'{}' is not UTF-8: malformed character at byte {}", path, bad);
  const bool is_json = path.ends_with(".jsonl");
  std::vector<std::string> prompts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::string where = fmt::format("'{}', prompt {},", path, prompts.size() + 1);
    prompts.push_back(is_json ? prompt_of(parse_json(line), where) : line);
  }
  if (prompts.empty()) throw Error("'{}' holds no prompts", path);
  return prompts;
}

void continue_prompt(TextGenerator& generator, const GenerateOptions& options, const std::string& prompt, uint32_t index) {
  const Tokenizer& tokenizer = generator.tokenizer();
  std::vector<uint32_t> ids = generator.encode(prompt, options.prompts.empty() ? "the prompt" : fmt::format("prompt {}", index + 1));
  // An empty prompt: start a new document after an end-of-text token.
  if (ids.empty() && tokenizer.eos_id()) ids.push_back(*tokenizer.eos_id());
  if (ids.empty()) throw UsageError("--prompt", "must not be empty: this tokenizer has no end-of-text token to start from");
  TextStream text;
  if (!options.as_json) text.print(prompt);
  const std::vector<uint32_t> drawn = generator.generate(
      ids, options.sampling,
      [&](uint32_t token) {
        if (!options.as_json) text.print(tokenizer.piece_bytes(token));
        return true;
      },
      Generator::Cache::lost, index);
  if (options.as_json) {
    std::string continued = tokenizer.decode(drawn);
    continued.resize(continued.size() - unfinished_utf8_bytes(continued));
    print(json_text({{"prompt", prompt}, {"text", continued}, {"tokens", drawn.size()}, {"ended", drawn.size() < options.sampling.tokens}}) + "\n");
  } else {
    print("\n");
  }
}

void generate(const GenerateOptions& options) {
  if (const size_t bad = find_invalid_utf8(options.prompt); bad != std::string_view::npos)
    throw UsageError("--prompt", fmt::format("is not UTF-8: malformed character at byte {}", bad));
  const std::vector<std::string> prompts = options.prompts.empty() ? std::vector{options.prompt} : read_prompts(options.prompts);
  TextGenerator generator(options);
  for (uint32_t i = 0; i < prompts.size(); ++i) {
    if (i > 0 && !options.as_json) print("<|endoftext|>\n");
    continue_prompt(generator, options, prompts[i], i);
  }
}

}  // namespace

void add_generate_command(Command& program) {
  Command* command = program.add_subcommand("generate", "Continue a text, or several");
  command->footer(
      "The same seed, checkpoint, prompt and device give the same text. It ends after --tokens, or at an end-of-text token.\n"
      "The model sees the last tokens of the prompt, as many as its context; when prompt and text fill it, it goes on from the last half. The\n"
      "order of sampling: penalty, temperature, top-k, top-p, min-p. On a terminal, control characters and broken UTF-8 are shown as \\x1B\n"
      "and the like; a pipe or a file gets the bytes as they are. An unfinished character at the end is left out. Several texts are\n"
      "separated by lines <|endoftext|>.\n"
      "Example: lapilli generate runs/first --prompt 'Once upon a time' --tokens 100");
  const auto options = std::make_shared<GenerateOptions>();
  Option* prompt = command->add_option("--prompt", options->prompt, "Text to continue; \"\" begins a new document")->type_name("TEXT");
  Option* prompts =
      command
          ->add_option("--prompts", options->prompts, "File with a text to continue in each line; in a .jsonl file as a string or {\"prompt\": ...}")
          ->type_name("FILE");
  prompt->excludes(prompts);
  command->add_flag("--json", options->as_json, "Print a JSON object for each text: prompt, text, tokens, ended");
  add_text_generation_options(*command, *options);
  command->callback([command, options] {
    if (command->count("--prompt") + command->count("--prompts") == 0) throw UsageError("--prompt", "or --prompts is needed");
    generate(*options);
  });
}

}  // namespace lapilli
