// lapilli check: every kernel that this device gets, against a double-precision reference.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "shaders/embedded_shaders.h"
#include "tools/check/check_memory.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/status_line.h"

namespace lapilli {

namespace {

struct CheckCommandOptions {
  std::string device;
  std::optional<KernelClass> kernels;
  bool quick = false, as_json = false;
};

void check_device(const CheckCommandOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto seconds = [begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  StatusLine status([] { return "starting"; });
  Device device({.selector = options.device, .kernel_class = options.kernels});
  KernelLibrary kernels(device, embedded_shaders());
  const std::vector<check::KernelCheck> checks = check::all_checks(device.caps(), options.quick);
  const auto on_progress = [&](const check::CheckProgress& at) {
    const double left = at.done == 0 ? 0 : seconds() / static_cast<double>(at.done) * static_cast<double>(at.total - at.done);
    std::string text = fmt::format("checking kernels: {} of {} shapes, about {:.0f} s left, {}", at.done, at.total, left, at.kernel);
    status.set([text = std::move(text)] { return text; });
  };
  const std::vector<check::KernelResult> results = check::run_and_remember(kernels, embedded_shaders_hash(), checks, options.quick, {}, on_progress);
  status.set(nullptr);
  const bool ok = std::ranges::all_of(results, &check::KernelResult::ok);
  if (options.as_json) print(json_text(check::to_json(device.caps(), results, seconds()), 2) + "\n");
  else print(check::to_table(results));
  flush_output();
  const std::string verdict = check::verdict(device.caps(), checks, results);
  if (!ok) throw Error(verdict);
  if (!options.as_json) print(verdict + "\n");
}

}  // namespace

void add_check_command(Command& program) {
  Command* command = program.add_subcommand("check", "Check every kernel against a double-precision reference on this driver");
  command->footer(
      "Exit code 0: all right; 1: a kernel is wrong. Wrong kernels are remembered for this driver: training uses others, or refuses\n"
      "where there is no other.");
  const auto options = std::make_shared<CheckCommandOptions>();
  add_device_option(*command, options->device);
  add_kernels_option(*command, options->kernels);
  command->add_flag("--quick", options->quick, "One shape for each kernel");
  command->add_flag("--json", options->as_json, "Print a JSON object instead of text");
  command->callback([options] { check_device(*options); });
}

}  // namespace lapilli
