#include "engine/program/step_profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/error.h"

namespace lapilli {

double StepProfile::wall_ns() const { return host.empty() ? 0 : static_cast<double>(host.back().end_ns - host.front().begin_ns); }

double StepProfile::host_ns() const {
  int64_t sum = 0;
  for (const HostSpan& span : host)
    if (!span.waits_for_device) sum += span.end_ns - span.begin_ns;
  return static_cast<double>(sum);
}

double StepSummary::gpu_coverage() const { return wall_ns > 0 ? device.total_ns() / wall_ns : 0; }
double StepSummary::host_share() const { return wall_ns > 0 ? host_ns / wall_ns : 0; }

StepSummary summarize(std::span<const StepProfile> steps) {
  StepSummary summary{.steps = steps.size()};
  if (steps.empty()) return summary;
  Profile all;
  for (const StepProfile& step : steps) {
    CHECK_EQ(step.host.size(), steps[0].host.size());
    summary.wall_ns += step.wall_ns();
    summary.host_ns += step.host_ns();
    all.spans.insert(all.spans.end(), step.device.spans.begin(), step.device.spans.end());
    for (size_t i = 0; i < step.host.size(); ++i) {
      if (summary.host.size() == i) summary.host.emplace_back(step.host[i].name, 0.0);
      summary.host[i].second += static_cast<double>(step.host[i].end_ns - step.host[i].begin_ns);
    }
  }
  const auto count = static_cast<double>(steps.size());
  summary.wall_ns /= count;
  summary.host_ns /= count;
  for (auto& [name, ns] : summary.host) ns /= count;
  summary.device.spans = all.by_scope();
  for (ProfileSpan& span : summary.device.spans) span.divide_work(steps.size());
  return summary;
}

namespace {

std::string row_text(const ProfileSpan& row, double total_ns, const Ceilings& ceilings) {
  const CeilingShare near = share_of_ceiling(row, ceilings);
  const std::string share = near.share > 0 ? fmt::format("{:.1f}% {}", 100 * near.share, near.of_memory ? "memory" : "compute") : "";
  return fmt::format("{:<28} {:>7} {:>10.3f} {:>6.1f}% {:>9.2f} {:>8.2f} {:>15}\n", row.scope, row.dispatches, row.ns * 1e-6, 100 * row.ns / total_ns,
                     row.ns > 0 ? row.flops / row.ns : 0, row.ns > 0 ? row.bytes / row.ns : 0, share);
}

std::string header_text(const char* what) {
  return fmt::format("{:<28} {:>7} {:>10} {:>7} {:>9} {:>8} {:>15}\n", what, "calls", "ms", "share", "GFLOP/s", "GB/s", "of ceiling");
}

std::string ceilings_text(const Ceilings& ceilings) {
  std::string text;
  if (ceilings.flops_per_s > 0) text += fmt::format("; ceilings: {:.1f} GFLOP/s of multiply-adds", ceilings.flops_per_s * 1e-9);
  if (ceilings.matrix_flops_per_s > 0) text += fmt::format(", {:.1f} of 16-bit matrices", ceilings.matrix_flops_per_s * 1e-9);
  if (ceilings.bytes_per_s > 0) text += fmt::format(", {:.1f} GB/s read and written by a copy (caches give more)", ceilings.bytes_per_s * 1e-9);
  return text;
}

}  // namespace

std::string profile_table(const StepSummary& summary, const Ceilings& ceilings) {
  std::string text = fmt::format("mean of {} step{}{}\n", summary.steps, summary.steps == 1 ? "" : "s", ceilings_text(ceilings));
  const double total = summary.device.total_ns();
  if (total > 0) {
    text += header_text("scope");
    for (const ProfileSpan& row : summary.device.by_scope()) text += row_text(row, total, ceilings);
    text += "\n" + header_text("part");
    for (const ProfileSpan& row : summary.device.by_part()) text += row_text(row, total, ceilings);
    text += fmt::format("{:<28} {:>7} {:>10.3f}\n", "device in all", "", total * 1e-6);
  } else {
    text += "this device has no timestamps: its time is not known by scope\n";
  }
  text += "\nhost";
  for (size_t i = 0; i < summary.host.size(); ++i)
    text += fmt::format("{} {} {:.3f} ms", i == 0 ? ":" : ",", summary.host[i].first, summary.host[i].second * 1e-6);
  text += fmt::format("\nstep in all {:.3f} ms: ", summary.wall_ns * 1e-6);
  if (total > 0) text += fmt::format("GPU coverage {:.1f} % of the step; ", 100 * summary.gpu_coverage());
  return text + fmt::format("host {:.2f} %\n", 100 * summary.host_share());
}

}  // namespace lapilli
