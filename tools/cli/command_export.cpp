// lapilli export: a checkpoint in a layout that other programs read.

#include <fmt/format.h>

#include <algorithm>

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
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(options.output)) files.push_back(entry.path());
  std::ranges::sort(files);
  for (const std::filesystem::path& file : files)
    print(fmt::format("  {:<20} {}\n", file.filename().string(), format_bytes(std::filesystem::file_size(file))));
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
