// lapilli tokenizer: a vocabulary learned from texts, and what it makes of a text.

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "tokenizer/text/byte_bpe_model.h"
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
  double character_coverage = TokenizerSpec{}.character_coverage;
  std::string field = TokenizerSpec{}.field;
};

void train(const TrainTokenizerOptions& options) {
  const TokenizerType type = parse_tokenizer_type(options.type);
  const bool needs_size = type == TokenizerType::kUnigram || type == TokenizerType::kBpe;
  if (needs_size && options.vocab_size == 0) throw UsageError("--vocab-size", "is required for " + options.type);
  require_other_output(options.output, options.inputs);
  train_tokenizer({.type = type, .vocab_size = options.vocab_size, .character_coverage = options.character_coverage, .field = options.field},
                  to_paths(options.inputs), options.output);
  const Tokenizer made(options.output);
  print(fmt::format("{}: {} tokenizer, {} tokens\n", options.output, tokenizer_type_name(made.type()), group_digits(made.vocab_size())));
}

struct EncodeOptions {
  std::string tokenizer;
  std::optional<std::string> text;
  std::optional<std::string> input;
  bool with_pieces = false, as_json = false;
};

void encode(const EncodeOptions& options) {
  const Tokenizer tokenizer(options.tokenizer);
  const std::vector<uint32_t> ids = tokenizer.encode(options.text ? *options.text : read_text_file(*options.input));
  std::vector<std::string> pieces;
  for (const uint32_t id : ids) pieces.push_back(tokenizer.piece(id));
  if (options.as_json) return print(json_text({{"ids", ids}, {"pieces", pieces}}) + "\n");
  if (!options.with_pieces) return print(fmt::format("{}\n", fmt::join(ids, " ")));
  for (size_t i = 0; i < ids.size(); ++i) print(fmt::format("{:>8}  {}\n", ids[i], printable(pieces[i])));
}

struct DecodeOptions {
  std::string tokenizer;
  std::vector<uint32_t> ids;
};

void decode(const DecodeOptions& options) {
  const Tokenizer tokenizer(options.tokenizer);
  for (const uint32_t id : options.ids)
    if (id >= tokenizer.vocab_size()) throw UsageError("ID", fmt::format("{} is beyond the vocabulary of {}", id, tokenizer.vocab_size()));
  print(tokenizer.decode(options.ids) + "\n");
}

void show(const std::string& path, bool as_json) {
  const Tokenizer tokenizer(path);
  const auto special = [&](std::optional<uint32_t> id) { return id ? fmt::format("{} {}", *id, tokenizer.piece(*id)) : std::string("none"); };
  const std::string hash = fmt::format("{:016x}", tokenizer.hash()), type(tokenizer_type_name(tokenizer.type()));
  if (as_json) {
    nlohmann::ordered_json json{
        {"type", type}, {"vocab_size", tokenizer.vocab_size()}, {"byte_fallback", tokenizer.has_byte_fallback()}, {"hash", hash}};
    if (const ByteBpeModel* byte_bpe = tokenizer.byte_bpe()) json["splitter"] = to_string(byte_bpe->splitter);
    json["bos_id"] = tokenizer.bos_id() ? nlohmann::ordered_json(*tokenizer.bos_id()) : nlohmann::ordered_json(nullptr);
    json["eos_id"] = tokenizer.eos_id() ? nlohmann::ordered_json(*tokenizer.eos_id()) : nlohmann::ordered_json(nullptr);
    return print(json_text(json, 2) + "\n");
  }
  const ByteBpeModel* byte_bpe = tokenizer.byte_bpe();
  print(fmt::format("type        {} ({})\n", type,
                    byte_bpe == nullptr ? "SentencePiece" : fmt::format("tokenizer.json, splitter {}", to_string(byte_bpe->splitter))));
  print(fmt::format("vocabulary  {}\n", group_digits(tokenizer.vocab_size())));
  print(fmt::format("bos, eos    {}, {}\n", special(tokenizer.bos_id()), special(tokenizer.eos_id())));
  print(fmt::format("bytes       {}\n",
                    tokenizer.has_byte_fallback() ? "text outside the vocabulary is spelled in bytes" : "text outside the vocabulary is lost"));
  print(fmt::format("hash        {}\n", hash));
}

void add_encode_command(Command& tokenizer) {
  Command* command = tokenizer.add_subcommand("encode", "The ids of a text");
  command->footer("Example: lapilli tokenizer encode stories.model --text 'Once upon a time' --pieces");
  const auto options = std::make_shared<EncodeOptions>();
  command->add_option("tokenizer", options->tokenizer, "A SentencePiece model, or tokenizer.json with byte-level BPE")->required()->type_name("T");
  Option* text = command->add_option("--text", options->text, "The text")->type_name("TEXT");
  command->add_option("-i,--input", options->input, "A file with the text")->excludes(text)->type_name("FILE");
  command->add_flag("--pieces", options->with_pieces, "Print each id with its piece, on a line of its own");
  command->add_flag("--json", options->as_json, "Print a JSON object with ids and pieces");
  command->callback([options] {
    if (!options->text && !options->input) throw UsageError("--text", "or -i FILE is required");
    encode(*options);
  });
}

void add_decode_command(Command& tokenizer) {
  Command* command = tokenizer.add_subcommand("decode", "The text of ids");
  command->footer("Example: lapilli tokenizer decode stories.model 312 17 998");
  const auto options = std::make_shared<DecodeOptions>();
  command->add_option("tokenizer", options->tokenizer, "A SentencePiece model, or tokenizer.json with byte-level BPE")->required()->type_name("T");
  command->add_option("ids", options->ids, "Token ids")->required()->type_name("ID");
  command->callback([options] { decode(*options); });
}

void add_info_command(Command& tokenizer) {
  Command* command = tokenizer.add_subcommand("info", "What a tokenizer is");
  const auto path = std::make_shared<std::string>();
  const auto as_json = std::make_shared<bool>(false);
  command->add_option("tokenizer", *path, "A SentencePiece model, or tokenizer.json with byte-level BPE")->required()->type_name("T");
  command->add_flag("--json", *as_json, "Print a JSON object instead of text");
  command->callback([path, as_json] { show(*path, *as_json); });
}

}  // namespace

void add_tokenizer_command(Command& program) {
  Command* tokenizer = program.add_subcommand("tokenizer", "Learn a vocabulary, encode, decode");
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
  command
      ->add_option("--character-coverage", options->character_coverage,
                   "unigram and bpe: the share of all characters that get pieces of their own; the rarest are spelled in bytes")
      ->check(between(0.9, 1.0))
      ->type_name("C")
      ->capture_default_str();
  command->add_option("-i,--input", options->inputs, "Text files")->required()->type_name("FILE");
  command->add_option("--field", options->field, "Name of the text in the objects of JSON Lines")->type_name("NAME")->capture_default_str();
  command->add_option("-o,--output", options->output, "Model file to write")->required()->type_name("T.model");
  command->callback([options] { train(*options); });
  add_encode_command(*tokenizer);
  add_decode_command(*tokenizer);
  add_info_command(*tokenizer);
}

}  // namespace lapilli
