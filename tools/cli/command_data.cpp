// lapilli data build: texts -> token shards to train and validate on.

#include <fmt/format.h>

#include <cmath>

#include "engine/base/log.h"
#include "tokenizer/data/dataset.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/text_warnings.h"

namespace lapilli {

namespace {

struct BuildOptions {
  std::string tokenizer, output;
  std::vector<std::string> inputs, val_inputs;
  double val_fraction = 0.1;
};

void build(const BuildOptions& options) {
  const std::vector<std::filesystem::path> inputs = to_paths(options.inputs), val_inputs = to_paths(options.val_inputs);
  const DatasetSummary made = build_dataset(options.tokenizer, inputs, options.output, options.val_fraction, val_inputs);
  if (made.split == SplitKind::inside_a_document && made.train.documents + made.val.documents > 2) {
    log_warning(
        "no document ends near the fraction of {} wanted for validation: the split cuts a document in two, and validation begins with its second "
        "part",
        options.val_fraction);
  }
  warn_of_lost_text(options.output, made.train.lost_bytes + made.val.lost_bytes, made.train.text_bytes + made.val.text_bytes);
  const bool synthetic = !std::isnan(made.train.source_entropy_nats) && !std::isnan(made.val.source_entropy_nats);
  std::vector<std::string> header{"split", "tokens", "documents", "bytes"};
  if (synthetic) header.push_back("source entropy");
  TextTable table(std::move(header));
  const auto add = [&](const char* name, const SplitSummary& split) {
    std::vector<std::string> row{name, group_digits(split.tokens), group_digits(split.documents), group_digits(split.text_bytes)};
    if (synthetic) row.push_back(fmt::format("{:.4f} nats per token", split.source_entropy_nats / static_cast<double>(split.tokens)));
    table.add(std::move(row));
  };
  add("train", made.train);
  add("val", made.val);
  print(fmt::format("{}: vocabulary of {}, {:.3f} bytes per token, {} bits per token on disk\n", options.output, group_digits(made.vocab_size),
                    made.bytes_per_token, made.token_width_bits));
  print(table.to_string());
}

}  // namespace

void add_data_command(Command& program) {
  Command* data = program.add_subcommand("data", "Turn text into tokens");
  require_command(*data);
  Command* command = data->add_subcommand("build", "Tokenize texts into a folder that `train` and `eval` read");
  command->footer(
      "A line <|endoftext|> separates documents; every file begins a new one. Validation is the end of the text: whole documents where\n"
      "one ends near the fraction, else from inside a document on, with a warning. Or name its texts with --val.\n"
      "Example: lapilli data build --tokenizer stories.model -i stories.txt -o stories");
  const auto options = std::make_shared<BuildOptions>();
  command->add_option("--tokenizer", options->tokenizer, "Model file")->required()->type_name("T.model");
  command->add_option("-i,--input", options->inputs, "Text files")->required()->type_name("FILE");
  Option* val = command->add_option("--val", options->val_inputs, "Text files for validation, none of the others")->type_name("FILE");
  command->add_option("-o,--output", options->output, "Folder to write; made when missing")->required()->type_name("DIR");
  command->add_option("--val-fraction", options->val_fraction, "Share of the tokens, the last ones, kept for validation")
      ->check(between(0.0, 1.0))
      ->excludes(val)
      ->type_name("F")
      ->capture_default_str();
  command->callback([options] {
    if (!(options->val_fraction > 0 && options->val_fraction < 1)) throw UsageError("--val-fraction", "must lie between 0 and 1, both excluded");
    require_other_output(options->output, options->inputs);
    require_other_output(options->output, options->val_inputs);
    build(*options);
  });
}

}  // namespace lapilli
