// lapilli import: a model of another program as a run.

#include <fmt/format.h>

#include "model/io/import.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct ImportOptions {
  std::string source, output;
};

void make_run(const ImportOptions& options) {
  const Imported made = import_model(options.source, options.output);
  print(fmt::format("{}: {} parameters, vocabulary of {}\n", options.output, group_digits(made.parameters), group_digits(made.vocab_size)));
}

}  // namespace

void add_import_command(Command& program) {
  Command* command = program.add_subcommand("import", "Make a run of a model of Hugging Face or llama.cpp");
  command->footer(
      "Reads GPT-2 and Llama models: a folder with config.json, model.safetensors (or several, with their index) and tokenizer.model\n"
      "(SentencePiece) or, without one, tokenizer.json (byte-level BPE of GPT-2, Llama 3, SmolLM); or a GGUF file (F32, F16, BF16,\n"
      "Q8_0, Q4_0, Q4_1). The run can be evaluated, can generate, be exported, and be trained further: train.init_from = \"RUN\", on\n"
      "data made with the tokenizer in its folder, which has unused tokens where the model has more than its tokenizer.\n"
      "Example: lapilli import downloaded/model -o runs/imported");
  const auto options = std::make_shared<ImportOptions>();
  command->add_option("source", options->source, "Folder of the model, or GGUF file")->required()->type_name("HF_DIR|FILE.gguf");
  command->add_option("-o,--output", options->output, "Run folder to make")->required()->type_name("RUN");
  command->callback([options] { make_run(*options); });
}

}  // namespace lapilli
