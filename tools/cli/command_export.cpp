// lapilli export: a checkpoint in a layout that other programs read.

#include <fmt/format.h>

#include "model/io/export.h"
#include "model/io/gguf_export.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/text/gguf_tokenizer.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct ExportOptions {
  std::string checkpoint, output, format = "safetensors", dtype = "f32";
};

TensorType tensor_type(const std::string& dtype) { return dtype == "f16" ? TensorType::f16 : dtype == "bf16" ? TensorType::bf16 : TensorType::f32; }

// How many tokens of the run's validation text llama.cpp makes otherwise; nothing is said of a run without its data sets here.
void print_differences(const LoadedCheckpoint& checkpoint) {
  const Tokenizer tokenizer(tokenizer_in(checkpoint.folder));
  uint64_t tokens = 0, different = 0;
  for (const DataShare& set : checkpoint.config.data.sets()) {
    const std::filesystem::path shard_path = std::filesystem::path(set.dir) / kValShardName;
    if (!std::filesystem::exists(shard_path)) return;
    const TokenShard shard(shard_path);
    if (shard.tokenizer_hash() != tokenizer.hash()) return;
    std::vector<uint32_t> ids(shard.token_count());
    shard.read(ids, 0);
    tokens += ids.size();
    different += read_differently(tokenizer, ids);
  }
  if (tokens == 0) return;
  print(fmt::format("  {} of the {} validation tokens are others in llama.cpp\n", group_digits(different), group_digits(tokens)));
}

void write_export(const ExportOptions& options) {
  require_other_output(options.output, {options.checkpoint});
  const LoadedCheckpoint checkpoint = load_checkpoint(options.checkpoint);
  require_other_output(options.output, {checkpoint.folder.string()});
  const TensorType type = tensor_type(options.dtype);
  const std::filesystem::path output(options.output);
  std::vector<std::filesystem::path> files;
  if (options.format == "gguf") {
    export_gguf(checkpoint, output, type);
    files.push_back(output);
  } else {
    for (const std::string& name : export_safetensors(checkpoint, output, {.type = type})) files.push_back(output / name);
  }
  print(fmt::format("{}: step {} as {} in {}\n", options.output, checkpoint.state.step, options.format, options.dtype));
  for (const std::filesystem::path& file : files)
    print(fmt::format("  {:<24} {}\n", file.filename().string(), format_bytes(std::filesystem::file_size(file))));
  if (options.format == "gguf") print_differences(checkpoint);
}

}  // namespace

void add_export_command(Command& program) {
  Command* command = program.add_subcommand("export", "Write a checkpoint for Hugging Face transformers or llama.cpp");
  command->footer(
      "safetensors: a folder that AutoModelForCausalLM and AutoTokenizer load: configuration, weights (in several files above 4 GiB) and\n"
      "tokenizer. gguf: one file that llama.cpp loads.\n"
      "Examples: lapilli export runs/first --dtype bf16 -o exported\n"
      "          lapilli export runs/first --format gguf --dtype f16 -o first.gguf");
  const auto options = std::make_shared<ExportOptions>();
  add_checkpoint_argument(*command, options->checkpoint);
  command->add_option("--format", options->format, "Layout of the files")->check(one_of({"safetensors", "gguf"}))->capture_default_str();
  command->add_option("--dtype", options->dtype, "Type of the weights (default: f32)")->check(one_of({"f32", "f16", "bf16"}));
  command->add_option("-o,--output", options->output, "Folder or GGUF file to write")->required()->type_name("DIR|FILE.gguf");
  command->callback([options] { write_export(*options); });
}

}  // namespace lapilli
