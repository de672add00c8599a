#pragma once
// The commands of `lapilli`, one file each: command_<name>.cpp. Each function hangs its command, with options and help,
// onto the program, which calls back what the user asked for. A command throws Error for a runtime error (exit code 1) and UsageError for
// wrong usage (exit code 2).

#include <filesystem>
#include <string>
#include <vector>

#include "tools/common/command_line.h"

namespace lapilli {

void add_devices_command(Command& program);
void add_corpus_command(Command& program);
void add_tokenizer_command(Command& program);
void add_data_command(Command& program);
void add_train_command(Command& program);
void add_eval_command(Command& program);
void add_generate_command(Command& program);
void add_export_command(Command& program);
void add_plan_command(Command& program);
void add_bench_command(Command& program);

// Options that several commands have, the same everywhere.
void add_device_option(Command& command, std::string& selector);
void add_set_option(Command& command, std::vector<std::string>& sets);
void add_save_option(Command& command, std::string& path);
void add_checkpoint_argument(Command& command, std::string& path);

// Wrong usage, unless the output is another file (or folder) than every input.
void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs);

// The files of -i FILE..., as the libraries take them.
std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names);

}  // namespace lapilli
