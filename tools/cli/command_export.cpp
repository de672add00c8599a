// lapilli export: a checkpoint in a layout that other programs read.

#include <fmt/format.h>

#include "model/io/export.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct ExportOptions {
  std::string checkpoint, output, format = "safetensors";
};

void write_export(const ExportOptions& options) {
  require_other_output(options.output, {options.checkpoint});
  const LoadedCheckpoint checkpoint = load_checkpoint(options.checkpoint);
  require_other_output(options.output, {checkpoint.folder.string()});
  export_safetensors(checkpoint, options.output);
  print(fmt::format("{}: step {} as {}\n", options.output, checkpoint.state.step, options.format));
  for (const char* name : kExportedNames)
    print(fmt::format("  {:<20} {}\n", name, format_bytes(std::filesystem::file_size(std::filesystem::path(options.output) / name))));
}

}  // namespace

void add_export_command(Command& program) {
  Command* command = program.add_subcommand("export", "Write a checkpoint for Hugging Face transformers");
  command->footer("Writes config.json, model.safetensors and tokenizer.model.\nExample: lapilli export runs/first -o exported");
  const auto options = std::make_shared<ExportOptions>();
  add_checkpoint_argument(*command, options->checkpoint);
  command->add_option("--format", options->format, "Layout of the files")->check(one_of({"safetensors"}))->capture_default_str();
  command->add_option("-o,--output", options->output, "Folder to write")->required()->type_name("DIR");
  command->callback([options] { write_export(*options); });
}

}  // namespace lapilli
