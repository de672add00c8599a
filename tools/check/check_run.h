#pragma once
// Runs the checks of kernels and says what they found.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/check/check_list.h"

namespace lapilli::check {

struct KernelResult {
  std::string kernel, variant;
  size_t cases = 0;
  double worst = 0;     // the largest error as a share of its bound
  std::string message;  // the first thing wrong; empty: all right
  bool ok() const { return message.empty(); }
};

struct CheckProgress {
  size_t done = 0, total = 0;  // cases
  std::string kernel;
};

struct CheckHooks {
  std::function<void(const CheckProgress&)> on_progress = {};
  std::function<bool(const KernelCheck&)> crashed_before = {};          // such a variant is wrong, and not run again
  std::function<void(const KernelCheck&)> before_run = {};              // the process may die in the driver from now on
  std::function<void()> after_run = {}, on_device_lost = {};
};

// One result for each check, in order. The kernels of the next cases are compiled while earlier ones run. Throws DeviceLost, with
// the name of the kernel, when one crashes the device.
std::vector<KernelResult> run_checks(KernelLibrary& kernels, const std::vector<KernelCheck>& checks, const CheckHooks& hooks = {});

// At most 100 columns: a line for each kernel and variant, and what is wrong below it.
std::string to_table(const std::vector<KernelResult>& results);
// {device, driver, version, seconds, checks: [{kernel, variant, cases, worst, ok, message}], ok}
nlohmann::ordered_json to_json(const DeviceCaps& device, const std::vector<KernelResult>& results, double seconds);

}  // namespace lapilli::check
