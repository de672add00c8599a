#pragma once
// The commands of `lapilli`, one file each: command_<name>.cpp. Each function adds its command, with options and help,
// to the program; CLI11 calls the selected one. A command throws Error for a runtime or user error (exit code 1) and
// CLI::ParseError for wrong usage (exit code 2).

#include <CLI/CLI.hpp>

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

// Options shared by several commands.
void add_device_option(Command& command, std::string& selector);
void add_set_option(Command& command, std::vector<std::string>& sets);
void add_save_option(Command& command, std::string& path);
void add_checkpoint_argument(Command& command, std::string& path);

// Wrong usage without a subcommand. (CLI11's own check reports an unknown subcommand as "is required".)
void require_command(Command& parent);

// A number above 0, or at least 0. (CLI11's own checks print the largest double as the limit, and its unsigned numbers
// accept -1 as 2^64 - 1.)
CLI::Validator positive();
CLI::Validator not_negative();
// "500k" -> 500000: k, M, G are powers of 1000. Above 0.
CLI::Validator as_size();

// Wrong usage if the output is the same file (or folder) as an input.
void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs);

// The strings of -i FILE... as paths.
std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names);

}  // namespace lapilli
