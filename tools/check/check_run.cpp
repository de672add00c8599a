#include "tools/check/check_run.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/version.h"

namespace lapilli::check {

namespace {

constexpr size_t kAhead = 64;  // cases whose kernels are compiled while others run

// A case from its preparation to its result. Errors are what is wrong with the kernel.
struct PendingCase {
  size_t check;
  std::unique_ptr<KernelBench> bench;
  Verify verify;
  std::string error;

  void run(CaseReport& report) const {
    if (!error.empty()) return report.fail(error);
    try {
      const std::string damage = bench->run();
      if (!damage.empty()) report.fail(damage);
      verify(report);
    } catch (const Error& failure) {
      report.fail(failure.what());
    }
  }
};

PendingCase prepare(KernelLibrary& kernels, const std::vector<KernelCheck>& checks, size_t check, size_t index) {
  PendingCase pending{.check = check, .bench = std::make_unique<KernelBench>(kernels)};
  try {
    pending.verify = checks[check].cases[index](*pending.bench);
  } catch (const Error& error) {
    pending.error = error.what();
  }
  return pending;
}

std::string percent(double share) { return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "-"; }

// Breaks a sentence into lines of at most `width`, each with an indent.
std::string wrapped(const std::string& sentence, size_t width, const std::string& indent) {
  std::string text, line;
  for (size_t at = 0; at < sentence.size();) {
    const size_t end = std::min(sentence.find(' ', at), sentence.size());
    const std::string word = sentence.substr(at, end - at);
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > width) text += indent + line + "\n", line.clear();
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return text + indent + line + "\n";
}

}  // namespace

std::vector<KernelResult> run_checks(KernelLibrary& kernels, const std::vector<KernelCheck>& checks, const CheckHooks& hooks) {
  std::vector<KernelResult> results;
  struct Place {
    size_t check, index;
  };
  std::deque<Place> waiting;
  for (const KernelCheck& check : checks) {
    results.push_back({.kernel = check.kernel, .variant = check.variant});
    if (hooks.crashed_before && hooks.crashed_before(check)) {
      results.back().worst = std::numeric_limits<double>::infinity();
      results.back().message = "it crashed the device or the program in an earlier run, and was not run again";
      continue;
    }
    for (size_t i = 0; i < check.cases.size(); ++i) waiting.push_back({results.size() - 1, i});
  }
  const size_t total = waiting.size();
  std::deque<PendingCase> pending;
  for (size_t done = 0; done < total; ++done) {
    while (!waiting.empty() && pending.size() < kAhead) {
      pending.push_back(prepare(kernels, checks, waiting.front().check, waiting.front().index));
      waiting.pop_front();
    }
    const KernelCheck& check = checks[pending.front().check];
    if (hooks.on_progress) hooks.on_progress({.done = done, .total = total, .kernel = check.kernel + ", " + check.variant});
    if (hooks.before_run) hooks.before_run(check);
    CaseReport report;
    try {
      pending.front().run(report);
    } catch (const DeviceLost& lost) {
      if (hooks.on_device_lost) hooks.on_device_lost();
      throw DeviceLost(fmt::format("{} ({}) crashed the device: {}; run again, the next check skips it", check.kernel, check.variant, lost.what()));
    }
    if (hooks.after_run) hooks.after_run();
    KernelResult& result = results[pending.front().check];
    ++result.cases;
    result.worst = std::max(result.worst, report.worst());
    if (result.message.empty()) result.message = report.message();
    pending.pop_front();
  }
  return results;
}

std::string to_table(const std::vector<KernelResult>& results) {
  size_t kernel = 6, variant = 7;
  for (const KernelResult& result : results) kernel = std::max(kernel, result.kernel.size()), variant = std::max(variant, result.variant.size());
  std::string text = fmt::format("{:<{}}  {:<{}}  {:>6}  {:>11}\n", "kernel", kernel, "variant", variant, "shapes", "worst error");
  for (const KernelResult& result : results) {
    text += fmt::format("{:<{}}  {:<{}}  {:>6}  {:>11}  {}\n", result.kernel, kernel, result.variant, variant, result.cases, percent(result.worst),
                        result.ok() ? "ok" : "WRONG");
    if (!result.ok()) text += wrapped(result.message, 100, "    ");
  }
  return text + "(the worst error as a share of what rounding explains)\n";
}

nlohmann::ordered_json to_json(const DeviceCaps& device, const std::vector<KernelResult>& results, double seconds) {
  auto checks = nlohmann::ordered_json::array();
  for (const KernelResult& result : results)
    checks.push_back({{"kernel", result.kernel},
                      {"variant", result.variant},
                      {"cases", result.cases},
                      {"worst", std::isfinite(result.worst) ? nlohmann::ordered_json(result.worst) : nlohmann::ordered_json(nullptr)},
                      {"ok", result.ok()},
                      {"message", result.message}});
  return {{"device", device.name}, {"driver", device.driver},     {"version", build_version().to_string()},
          {"seconds", seconds},    {"checks", std::move(checks)}, {"ok", std::ranges::all_of(results, &KernelResult::ok)}};
}

}  // namespace lapilli::check
