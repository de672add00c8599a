// lapilli data build, import: texts, or tokens made elsewhere -> token shards to train and validate on.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/base/log.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/data/dataset_import.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/text_warnings.h"

namespace lapilli {

namespace {

struct DataOptions {
  std::string tokenizer, output;
  std::vector<std::string> inputs, val_inputs;
  double val_fraction = 0.1;
  std::string field = "text";                      // build
  std::string format;                              // import
  uint32_t vocab_size = 0;                         // import; 0: the tokenizer's
  std::optional<uint32_t> eos_id = std::nullopt;   // import
};

void require_no_input(const std::string& output, const std::vector<std::filesystem::path>& inputs) {
  require_other_output(output, std::vector<std::string>(inputs.begin(), inputs.end()));
}

void print_summary(const DataOptions& options, const DatasetSummary& made) {
  if (made.split == SplitKind::inside_a_document && made.train.documents + made.val.documents > 2) {
    log_warning(
        "no document ends near the fraction of {} wanted for validation: the split cuts a document in two, and validation begins with its second "
        "part",
        options.val_fraction);
  }
  warn_of_lost_text(options.output, made.train.lost_bytes + made.val.lost_bytes, made.train.text_bytes + made.val.text_bytes);
  const bool synthetic = !std::isnan(made.train.source_entropy_nats) && !std::isnan(made.val.source_entropy_nats);
  const bool has_text = made.bytes_per_token > 0;
  std::vector<std::string> header{"split", "tokens", "documents"};
  if (has_text) header.push_back("bytes");
  if (synthetic) header.push_back("source entropy");
  TextTable table(std::move(header));
  const auto add = [&](const char* name, const SplitSummary& split) {
    std::vector<std::string> row{name, group_digits(split.tokens), group_digits(split.documents)};
    if (has_text) row.push_back(group_digits(split.text_bytes));
    if (synthetic) row.push_back(fmt::format("{:.4f} nats per token", split.source_entropy_nats / static_cast<double>(split.tokens)));
    table.add(std::move(row));
  };
  add("train", made.train);
  add("val", made.val);
  print(fmt::format("{}: vocabulary of {}, {}{} bits per token on disk\n", options.output, group_digits(made.vocab_size),
                    has_text ? fmt::format("{:.3f} bytes per token, ", made.bytes_per_token) : "", made.token_width_bits));
  print(table.to_string());
}

void build(const DataOptions& options) {
  const std::vector<std::filesystem::path> inputs = to_paths(options.inputs), val_inputs = to_paths(options.val_inputs);
  require_no_input(options.output, inputs);
  require_no_input(options.output, val_inputs);
  print_summary(options, build_dataset(options.tokenizer, inputs, options.output, options.val_fraction, val_inputs, {.field = options.field}));
}

void import(const DataOptions& options) {
  const std::vector<std::filesystem::path> inputs = to_paths(options.inputs), val_inputs = to_paths(options.val_inputs);
  require_no_input(options.output, inputs);
  require_no_input(options.output, val_inputs);
  const auto format = static_cast<TokenFormat>(std::ranges::find(kTokenFormatNames, options.format) - std::begin(kTokenFormatNames));
  const DatasetSummary made = import_dataset(inputs,
                                             {.format = format,
                                              .vocab_size = options.vocab_size,
                                              .tokenizer = options.tokenizer,
                                              .eos_id = options.eos_id,
                                              .val_fraction = options.val_fraction},
                                             options.output, val_inputs);
  print_summary(options, made);
  if (options.tokenizer.empty())
    print("No tokenizer: models trained on this have a loss in nats per token, but no samples of text and no bits per byte (--tokenizer T).\n");
}

void add_split_options(Command& command, DataOptions& options, const char* val_help) {
  Option* val = command.add_option("--val", options.val_inputs, val_help)->type_name("FILE");
  command.add_option("-o,--output", options.output, "Folder to write; made when missing")->required()->type_name("DIR");
  command.add_option("--val-fraction", options.val_fraction, "Share of the tokens, the last ones, kept for validation")
      ->check(between(0.0, 1.0))
      ->excludes(val)
      ->type_name("F")
      ->capture_default_str();
}

void require_good_fraction(const DataOptions& options) {
  if (!(options.val_fraction > 0 && options.val_fraction < 1)) throw UsageError("--val-fraction", "must lie between 0 and 1, both excluded");
}

void add_build_command(Command& data) {
  Command* command = data.add_subcommand("build", "Tokenize texts into a folder that `train` and `eval` read");
  command->footer(
      "A text is UTF-8, or JSON Lines where its name ends with .jsonl (a document a line), and may be compressed (.gz, .zst). 'text/*.gz', quoted,\n"
      "is all files that match, sorted by name. In UTF-8, a line <|endoftext|> separates documents; every file begins a new one.\n"
      "Validation is the end of the text: whole documents where one ends near the fraction, else from inside a document on, with a\n"
      "warning. Or name its texts with --val.\n"
      "Example: lapilli data build --tokenizer stories.model -i stories.txt -o stories");
  const auto options = std::make_shared<DataOptions>();
  command->add_option("--tokenizer", options->tokenizer, "A SentencePiece model, or tokenizer.json with byte-level BPE")->required()->type_name("T");
  command->add_option("-i,--input", options->inputs, "Text files")->required()->type_name("FILE");
  add_split_options(*command, *options, "Text files for validation, none of the others");
  command->add_option("--field", options->field, "Name of the text in the objects of JSON Lines")->type_name("NAME")->capture_default_str();
  command->callback([options] {
    require_good_fraction(*options);
    build(*options);
  });
}

void add_data_import_command(Command& data) {
  Command* command = data.add_subcommand("import", "Take tokens that another program made");
  command->footer(
      "Formats: nanogpt (16-bit tokens and nothing else), llmc (.bin of llm.c, GPT-2's 16 bits or Llama 3's 32), npy (NumPy, one dimension\n"
      "of uint16, uint32, int32 or int64). Several files are one stream. A document ends with the token --eos, or with that of the tokenizer;\n"
      "without either all is one document. Without --tokenizer, `train` prints no samples and no bits per byte.\n"
      "Example: lapilli data import train.bin --val val.bin --format nanogpt --vocab-size 50257 --eos 50256 -o owt");
  const auto options = std::make_shared<DataOptions>();
  command->add_option("files", options->inputs, "Files with tokens")->required()->type_name("FILE");
  command->add_option("--format", options->format, "Which program wrote them")
      ->required()
      ->check(one_of({std::begin(kTokenFormatNames), std::end(kTokenFormatNames)}));
  command->add_option("--vocab-size", options->vocab_size, "Vocabulary: every token is below it (default: that of --tokenizer)")
      ->check(positive())
      ->type_name("V");
  command->add_option("--tokenizer", options->tokenizer, "The tokenizer that made them")->type_name("T");
  command
      ->add_option_function(
          "--eos", [options](const std::string& text) { options->eos_id = static_cast<uint32_t>(std::stoul(text)); },
          "Token that ends a document (default: that of --tokenizer)")
      ->check(between(0U, UINT32_MAX))
      ->type_name("ID");
  add_split_options(*command, *options, "Files with tokens for validation, none of the others");
  command->callback([options] {
    require_good_fraction(*options);
    if (options->tokenizer.empty() && options->vocab_size == 0) throw UsageError("--vocab-size", "is required without --tokenizer");
    import(*options);
  });
}

}  // namespace

void add_data_command(Command& program) {
  Command* data = program.add_subcommand("data", "Turn text into tokens, and show them");
  require_command(*data);
  add_build_command(*data);
  add_data_import_command(*data);
  add_data_show_command(*data);
}

}  // namespace lapilli
