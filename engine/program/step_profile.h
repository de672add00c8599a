#pragma once
// Whole steps on host and device: as a table, and as a trace for Perfetto or chrome://tracing.

#include <span>
#include <utility>

#include "engine/program/profile.h"

namespace lapilli {

// A time interval of the host, on its steady clock.
struct HostSpan {
  std::string name;
  int64_t begin_ns = 0, end_ns = 0;
  bool waits_for_device = false;
};

struct StepProfile {
  uint64_t step = 0;
  std::vector<HostSpan> host;  // in order; together they cover the step
  Profile device;              // empty on a device without timestamps

  double wall_ns() const;  // from the first host span's begin to the last one's end
  double host_ns() const;  // without waiting for the device
};

// Means over some steps of one program.
struct StepSummary {
  uint64_t steps = 0;
  double wall_ns = 0, host_ns = 0;  // per step
  Profile device;                   // per step; one span for each scope, the longest first
  std::vector<std::pair<std::string, double>> host;  // (name, ns), in order

  double gpu_coverage() const;   // GPU coverage: share of wall_ns inside the device's scopes
  double host_share() const;  // of wall_ns
};
StepSummary summarize(std::span<const StepProfile> steps);

// Per scope and per part: calls, time, share of the device's time, rates, share of the roofline; then the GPU coverage
// and the host's share of the step's wall time.
std::string profile_table(const StepSummary& summary, const Ceilings& ceilings);

// Trace Event JSON: complete events in microseconds from the first step's begin. Process 1 is the host; process 2 the device,
// whose events nest: step, part ("forward"), scope ("matmul"). `facts` go into the trace's metadata, with the ceilings and
// how the clocks were aligned.
std::string trace_json(std::span<const StepProfile> steps, const Ceilings& ceilings, const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace lapilli
