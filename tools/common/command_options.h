#pragma once
// The commands of `lapilli`, one file each: command_<name>.cpp. Each function adds its command, with options and help,
// to the program, which calls the selected one. A command throws Error for a runtime or user error (exit code 1) and
// UsageError for wrong usage (exit code 2).

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/memory/dtype.h"
#include "engine/vulkan/device.h"
#include "tools/common/command_line.h"

namespace lapilli {

void add_devices_command(Command& program);
void add_check_command(Command& program);
void add_corpus_command(Command& program);
void add_tokenizer_command(Command& program);
void add_data_command(Command& program);
void add_data_show_command(Command& data);
void add_train_command(Command& program);
void add_eval_command(Command& program);
void add_generate_command(Command& program);
void add_chat_command(Command& program);
void add_export_command(Command& program);
void add_import_command(Command& program);
void add_plan_command(Command& program);
void add_bench_command(Command& program);

// Options shared by several commands.
void add_device_option(Command& command, std::string& selector);
void add_kernels_option(Command& command, std::optional<KernelClass>& kernels);
void add_set_option(Command& command, std::vector<std::string>& sets);
void add_save_option(Command& command, std::string& path);
// --dtype: f32, f16 or bf16.
void add_dtype_option(Command& command, Precision& precision, const char* help);
void add_checkpoint_argument(Command& command, std::string& path);

// Wrong usage if the output is the same file (or folder) as an input.
void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs);

// The strings of -i FILE... as paths. One with *, ? or [ that is no file's name is a pattern: it stands for the files that match, sorted by name.
// Throws Error for a pattern without a match.
std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names);

}  // namespace lapilli
