// The trace of engine/program/step_profile.h.
// Format: "Trace Event Format" of the Chromium project, JSON object form; Perfetto reads the same.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/program/step_profile.h"

#include "engine/base/json.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kHost = 1, kDevice = 2;  // process ids: viewers keep processes apart and name them

class Events {
 public:
  explicit Events(int64_t origin_ns) : origin_ns_(origin_ns) {}

  // In whole nanoseconds, each end equal to the next begin: viewers nest by containment, and an overlap by a rounding
  // error would move an event out of its parent.
  void add(const std::string& name, int process, int64_t begin_ns, int64_t end_ns, Json args) {
    Json event{{"name", name},
               {"ph", "X"},
               {"pid", process},
               {"tid", 1},
               {"ts", microseconds(begin_ns - origin_ns_)},
               {"dur", microseconds(end_ns - begin_ns)}};
    if (!args.empty()) event["args"] = std::move(args);
    list_.push_back(std::move(event));
  }
  void name_track(int process, const std::string& name, const std::string& track) {
    list_.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", process}, {"tid", 1}, {"args", {{"name", name}}}});
    list_.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", process}, {"tid", 1}, {"args", {{"name", track}}}});
  }
  Json take() { return std::move(list_); }

 private:
  static double microseconds(int64_t ns) { return static_cast<double>(ns) / 1000; }

  int64_t origin_ns_;
  Json list_ = Json::array();
};

std::string part_of(const std::string& scope) { return scope.substr(0, scope.find('/')); }
std::string within_part(const std::string& scope) {
  const size_t slash = scope.find('/');
  return scope.substr(slash == std::string::npos ? 0 : slash + 1);
}

Json work_of(const ProfileSpan& span, const Ceilings& ceilings) {
  Json args{{"calls", span.dispatches}, {"flops", span.flops}, {"bytes", span.bytes}};
  if (span.ns > 0) args.update({{"gflops_per_s", span.flops / span.ns}, {"gb_per_s", span.bytes / span.ns}});
  if (const CeilingShare near = share_of_ceiling(span, ceilings); near.share > 0)
    args.update({{"share_of_ceiling", near.share}, {"ceiling", near.of_memory ? "memory" : "compute"}});
  return args;
}

void add_device_step(Events& events, const StepProfile& step, const Ceilings& ceilings) {
  const std::vector<ProfileSpan>& spans = step.device.spans;
  if (spans.empty()) return;
  const auto begin = [&](size_t i) { return step.device.begin_host_ns + std::llround(spans[i].begin_ns); };
  const auto end = [&](size_t i) {
    return i + 1 < spans.size() ? begin(i + 1) : step.device.begin_host_ns + std::llround(spans[i].begin_ns + spans[i].ns);
  };
  events.add("step", kDevice, begin(0), end(spans.size() - 1), {{"step", step.step}});
  for (size_t first = 0; first < spans.size();) {
    const std::string part = part_of(spans[first].scope);
    ProfileSpan sum{.scope = part};
    size_t next = first;
    for (; next < spans.size() && part_of(spans[next].scope) == part; ++next) sum.add_work(spans[next]);
    events.add(part, kDevice, begin(first), end(next - 1), work_of(sum, ceilings));
    const bool is_whole = next - first == 1 && spans[first].scope == part;
    for (; first < next; ++first)
      if (!is_whole) events.add(within_part(spans[first].scope), kDevice, begin(first), end(first), work_of(spans[first], ceilings));
  }
}

std::string alignment_text(std::span<const StepProfile> steps) {
  std::optional<uint64_t> most;
  for (const StepProfile& step : steps) {
    if (step.device.spans.empty()) return "the device has no timestamps: host only";
    if (!step.device.deviation_ns) return "no calibrated timestamps: the device's first scope is put at the moment of submission";
    most = std::max(most.value_or(0), *step.device.deviation_ns);
  }
  return fmt::format("calibrated timestamps, within {} ns", most.value_or(0));
}

}  // namespace

std::string trace_json(std::span<const StepProfile> steps, const Ceilings& ceilings, const std::vector<std::pair<std::string, std::string>>& facts) {
  Events events(steps.empty() ? 0 : steps[0].host.front().begin_ns);
  events.name_track(kHost, "host", "training loop");
  events.name_track(kDevice, "device", "scopes");
  for (const StepProfile& step : steps) {
    events.add("step", kHost, step.host.front().begin_ns, step.host.back().end_ns, {{"step", step.step}});
    for (const HostSpan& span : step.host) events.add(span.name, kHost, span.begin_ns, span.end_ns, {});
    add_device_step(events, step, ceilings);
  }
  Json metadata{{"clock_alignment", alignment_text(steps)},
                {"ceiling_gflops_per_s", ceilings.flops_per_s * 1e-9},
                {"ceiling_gb_per_s", ceilings.bytes_per_s * 1e-9}};
  if (ceilings.matrix_flops_per_s > 0) metadata["ceiling_matrix_gflops_per_s"] = ceilings.matrix_flops_per_s * 1e-9;
  for (const auto& [name, value] : facts) metadata[name] = value;
  const Json trace{{"displayTimeUnit", "ms"}, {"otherData", std::move(metadata)}, {"traceEvents", events.take()}};
  return json_text(trace) + "\n";
}

}  // namespace lapilli
