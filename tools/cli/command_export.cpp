// lapilli export: a checkpoint in a layout that other programs read.

#include <fmt/format.h>

#include "model/io/export.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct ExportOptions {
  std::string checkpoint, output, format = "safetensors", dtype = "f32";
};

void write_export(const ExportOptions& options) {
  require_other_output(options.output, {options.checkpoint});
  const LoadedCheckpoint checkpoint = load_checkpoint(options.checkpoint);
  require_other_output(options.output, {checkpoint.folder.string()});
  const TensorType type = options.dtype == "f16" ? TensorType::f16 : options.dtype == "bf16" ? TensorType::bf16 : TensorType::f32;
  const std::vector<std::string> names = export_safetensors(checkpoint, options.output, {.type = type});
  print(fmt::format("{}: step {} as {} in {}\n", options.output, checkpoint.state.step, options.format, options.dtype));
  for (const std::string& name : names)
    print(fmt::format("  {:<24} {}\n", name, format_bytes(std::filesystem::file_size(std::filesystem::path(options.output) / name))));
}

}  // namespace

void add_export_command(Command& program) {
  Command* command = program.add_subcommand("export", "Write a checkpoint for Hugging Face transformers");
  command->footer(
      "Writes a folder that AutoModelForCausalLM and AutoTokenizer load: configuration, weights (in several files above 4 GiB) and\n"
      "tokenizer.\nExample: lapilli export runs/first --dtype bf16 -o exported");
  const auto options = std::make_shared<ExportOptions>();
  add_checkpoint_argument(*command, options->checkpoint);
  command->add_option("--format", options->format, "Layout of the files")->check(one_of({"safetensors"}))->capture_default_str();
  command->add_option("--dtype", options->dtype, "Type of the weights (default: f32)")->check(one_of({"f32", "f16", "bf16"}));
  command->add_option("-o,--output", options->output, "Folder to write")->required()->type_name("DIR");
  command->callback([options] { write_export(*options); });
}

}  // namespace lapilli
