// lapilli tokenizer train: a vocabulary learned from texts.

#include <fmt/format.h>

#include "tokenizer/text/tokenizer.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct TrainTokenizerOptions {
  std::string type;
  uint32_t vocab_size = 0;
  std::vector<std::string> inputs;
  std::string output;
};

void train(const TrainTokenizerOptions& options) {
  const TokenizerType type = parse_tokenizer_type(options.type);
  const bool needs_size = type == TokenizerType::kUnigram || type == TokenizerType::kBpe;
  if (needs_size && options.vocab_size == 0) throw UsageError("--vocab-size", "is required for " + options.type);
  require_other_output(options.output, options.inputs);
  train_tokenizer({.type = type, .vocab_size = options.vocab_size}, to_paths(options.inputs), options.output);
  const Tokenizer made(options.output);
  print(fmt::format("{}: {} tokenizer, {} tokens\n", options.output, tokenizer_type_name(made.type()), group_digits(made.vocab_size())));
}

}  // namespace

void add_tokenizer_command(Command& program) {
  Command* tokenizer = program.add_subcommand("tokenizer", "Learn a vocabulary");
  require_command(*tokenizer);
  Command* command = tokenizer->add_subcommand("train", "Learn a vocabulary from texts (a SentencePiece model file)");
  command->footer(
      "Tokenizing is lossless: text outside the vocabulary is encoded as bytes.\n"
      "Example: lapilli tokenizer train --type unigram --vocab-size 1024 -i stories.txt -o stories.model");
  const auto options = std::make_shared<TrainTokenizerOptions>();
  command->add_option("--type", options->type, "unigram and bpe: pieces of words; char: characters; byte: the 256 bytes")
      ->required()
      ->check(one_of({"unigram", "bpe", "char", "byte"}));
  command
      ->add_option("--vocab-size", options->vocab_size,
                   "Tokens, including 3 specials and 256 bytes: exact for unigram and bpe, a maximum for char (default: "
                   "all characters), not needed for byte")
      ->check(positive())
      ->type_name("V");
  command->add_option("-i,--input", options->inputs, "Text files")->required()->type_name("FILE");
  command->add_option("-o,--output", options->output, "Model file to write")->required()->type_name("T.model");
  command->callback([options] { train(*options); });
}

}  // namespace lapilli
