#pragma once
// The commands of `lapilli`, one file each: command_<name>.cpp. Each function hangs its command, with options and help,
// onto the program; CLI11 calls back what the user asked for. A command throws Error for the world's fault (exit code 1)
// and CLI::ParseError for wrong usage (exit code 2).

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace lapilli {

void add_devices_command(CLI::App& program);
void add_corpus_command(CLI::App& program);
void add_tokenizer_command(CLI::App& program);
void add_data_command(CLI::App& program);
void add_train_command(CLI::App& program);
void add_eval_command(CLI::App& program);
void add_generate_command(CLI::App& program);
void add_export_command(CLI::App& program);
void add_plan_command(CLI::App& program);
void add_bench_command(CLI::App& program);

// Options that several commands have, the same everywhere.
void add_device_option(CLI::App& command, std::string& selector);
void add_set_option(CLI::App& command, std::vector<std::string>& sets);
void add_save_option(CLI::App& command, std::string& path);
void add_checkpoint_argument(CLI::App& command, std::string& path);

// Wrong usage when none of its commands follows. (CLI11's own check hides an unknown one behind "is required".)
void require_command(CLI::App& parent);

// A number above 0, or not below. (CLI11's own checks tell the largest double as the limit, and its unsigned numbers take
// -1 for 2^64 - 1.)
CLI::Validator positive();
CLI::Validator not_negative();
// "500k" -> 500000: turns k, M, G into factors of 1000. Above 0.
CLI::Validator as_size();

// Wrong usage, unless the output is another file (or folder) than every input.
void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs);

// What CLI11 gives for -i FILE..., as the libraries take it.
std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names);

}  // namespace lapilli
