#include "tools/check/check_memory.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/tuning/crash_marker.h"

namespace lapilli::check {

namespace {

bool is_of_parts(const KernelCheck& check) { return check.candidate.ends_with(" in"); }

// In a crash marker, and so in the tuner's list of crashes.
std::string crash_key(const KernelCheck& check) { return check.tuning_key.empty() ? "check " + check.kernel : check.tuning_key; }
std::string crash_name(const KernelCheck& check) { return check.candidate.empty() ? check.variant : check.candidate; }

}  // namespace

std::vector<WrongKernel> wrong_kernels(const std::vector<KernelCheck>& checks, const std::vector<KernelResult>& results) {
  CHECK_EQ(checks.size(), results.size());
  const auto has_another = [&](const KernelCheck& wrong) {
    if (wrong.candidate.empty() || wrong.always_used) return false;
    if (is_of_parts(wrong)) return true;  // the whole
    const auto of_candidate = [&](const std::string& candidate) {
      for (size_t i = 0; i < checks.size(); ++i)
        if (checks[i].tuning_key == wrong.tuning_key && checks[i].candidate == candidate && !results[i].ok()) return false;
      return true;
    };
    return std::ranges::any_of(checks, [&](const KernelCheck& other) {
      return other.tuning_key == wrong.tuning_key && !is_of_parts(other) && of_candidate(other.candidate);
    });
  };
  std::vector<WrongKernel> wrong;
  for (size_t i = 0; i < checks.size(); ++i) {
    if (results[i].ok()) continue;
    const KernelCheck& check = checks[i];
    wrong.push_back({.kernel = check.kernel,
                     .variant = check.variant,
                     .precision = to_string(check.precision),
                     .key = check.tuning_key,
                     .candidate = check.candidate,
                     .essential = !has_another(check)});
  }
  return wrong;
}

std::string verdict(const DeviceCaps& device, const std::vector<KernelCheck>& checks, const std::vector<KernelResult>& results) {
  const std::string name = fmt::format("{}, {}", device.name, device.driver);
  std::vector<std::string> replaced, essential;
  for (const WrongKernel& wrong : wrong_kernels(checks, results))
    (wrong.essential ? essential : replaced).push_back(fmt::format("{} ({})", wrong.kernel, wrong.variant));
  if (replaced.empty() && essential.empty()) return fmt::format("{}: {} kernel variants, all right", name, results.size());
  std::string text = fmt::format("{}: {} of {} kernel variants are wrong", name, replaced.size() + essential.size(), results.size());
  if (!replaced.empty()) text += fmt::format("; excluded, training takes others: {}", fmt::join(replaced, ", "));
  if (!essential.empty())
    text += fmt::format("; training refuses, there are no others: {}; update the driver, or choose another device with --device",
                        fmt::join(essential, ", "));
  return text;
}

std::vector<KernelResult> run_and_remember(KernelLibrary& kernels, const std::string& kernels_hash, const std::vector<KernelCheck>& checks,
                                           bool quick, const std::filesystem::path& path,
                                           const std::function<void(const CheckProgress&)>& on_progress) {
  TuningFile file(kernels.device().caps(), kernels_hash, path);
  const TuningCrashes crashes = file.read().crashes;
  CrashMarker marker(file.path());
  const std::vector<KernelResult> results =
      run_checks(kernels, checks,
                 {.on_progress = on_progress,
                  .crashed_before =
                      [&](const KernelCheck& check) {
                        const auto found = crashes.find(crash_key(check));
                        return found != crashes.end() && found->second.contains(crash_name(check));
                      },
                  .before_run =
                      [&](const KernelCheck& check) { marker.set(file.marker_text(crash_key(check), crash_name(check)), /*synced=*/false); },
                  .after_run = [&] { marker.clear(); },
                  .on_device_lost = [&] { marker.leave(); }});
  file.set_wrong(wrong_kernels(checks, results), quick);
  return results;
}

void require_right_kernels(const DeviceCaps& device, const std::string& kernels_hash, Precision precision, const std::filesystem::path& path) {
  for (const WrongKernel& wrong : TuningFile(device, kernels_hash, path).read().wrong)
    if (wrong.essential && (wrong.precision == to_string(Precision::f32) || wrong.precision == to_string(precision)))
      throw Error(
          "the kernel {} ({}) is wrong on {} ({}): `lapilli check` found it wrong, and there is no other; update the driver and check again, or "
          "choose another device with --device",
          wrong.kernel, wrong.variant, device.name, device.driver);
}

}  // namespace lapilli::check
