// The `lapilli` command. Exit codes: 0 success, 1 runtime or user error (one sentence on stderr), 2 wrong usage.

#include <csignal>
#include <exception>
#include <filesystem>
#include <new>

#include "engine/base/error.h"
#include "engine/base/version.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace {

// In the order of --help.
constexpr void (*kAddCommand[])(lapilli::Command&) = {
    lapilli::add_devices_command, lapilli::add_check_command,  lapilli::add_corpus_command, lapilli::add_tokenizer_command, lapilli::add_data_command,
    lapilli::add_plan_command,    lapilli::add_train_command,  lapilli::add_eval_command,   lapilli::add_generate_command,  lapilli::add_chat_command,
    lapilli::add_export_command,  lapilli::add_import_command, lapilli::add_bench_command,
};

int run(int argc, char** argv) {
  lapilli::Command program("Trains small transformer language models on any Vulkan device.", "lapilli");
  program.add_version_flag("--version", "lapilli " + lapilli::build_version().to_string());
  lapilli::require_command(program);
  program.option_column_width(34);
  program.footer("`lapilli COMMAND --help` explains a command. Start here: tools/quickstart.sh");
  for (const auto add : kAddCommand) add(program);
  const int exit_code = program.parse(argc, argv);
  lapilli::flush_output();
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  // `lapilli devices | head -1` ends quietly, also under a parent that ignores the signal. Training overrides this.
  std::signal(SIGPIPE, SIG_DFL);
  lapilli::set_up_logging();
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    lapilli::print_error("this machine is out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    lapilli::print_error("cannot use '" + error.path1().string() + "': " + error.code().message());
  } catch (const std::exception& error) {  // Error, or a runtime error of the standard library
    lapilli::print_error(error.what());
  }
  return 1;
}
