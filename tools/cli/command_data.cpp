// lapilli data build: texts -> token shards to train and validate on.

#include <fmt/format.h>

#include <cmath>

#include "tokenizer/data/dataset.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct BuildOptions {
  std::string tokenizer, output;
  std::vector<std::string> inputs;
  double val_fraction = 0.1;
};

void build(const BuildOptions& options) {
  const DatasetSummary made = build_dataset(options.tokenizer, to_paths(options.inputs), options.output, options.val_fraction);
  const bool synthetic = !std::isnan(made.train.source_entropy_nats);
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
      "A line that is exactly <|endoftext|> separates documents; every file begins a new one. Validation is the end "
      "of the text:\nwhole documents where there are several.\n"
      "Example: lapilli data build --tokenizer stories.model -i stories.txt -o stories");
  const auto options = std::make_shared<BuildOptions>();
  command->add_option("--tokenizer", options->tokenizer, "Model file")->required()->type_name("T.model");
  command->add_option("-i,--input", options->inputs, "Text files")->required()->type_name("FILE");
  command->add_option("-o,--output", options->output, "Folder to write; made when missing")->required()->type_name("DIR");
  command->add_option("--val-fraction", options->val_fraction, "Share of the tokens, the last ones, kept for validation")
      ->check(between(0.0, 1.0))
      ->type_name("F")
      ->capture_default_str();
  command->callback([options] {
    if (!(options->val_fraction > 0 && options->val_fraction < 1)) throw UsageError("--val-fraction", "must lie between 0 and 1, both excluded");
    require_other_output(options->output, options->inputs);
    build(*options);
  });
}

}  // namespace lapilli
