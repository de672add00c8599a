#pragma once
// Where the time of a program goes: per scope name, with the work its dispatches declared.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lapilli {

// What a device does at most, measured. 0: unknown.
struct Ceilings {
  double flops_per_s = 0;  // f32 multiply-adds
  double bytes_per_s = 0;  // read and written by a copy too large for caches
};

// One stretch of a program under one scope.
struct ProfileSpan {
  std::string scope;
  uint64_t dispatches = 0;
  double flops = 0, bytes = 0;  // declared
  double begin_ns = 0;          // measured, from the beginning of the first span
  double ns = 0;                // measured
};

// How near a span came to the ceiling that its declared work meets first.
struct CeilingShare {
  double share = 0;        // 0: unknown. Above 1 for bytes that caches held
  bool of_memory = false;  // of bytes_per_s, else of flops_per_s
};
CeilingShare share_of_ceiling(const ProfileSpan& span, const Ceilings& ceilings);

struct Profile {
  std::vector<ProfileSpan> spans;  // in the order they ran, each where the one before ends
  int64_t begin_host_ns = 0;       // where the first span begins on the host's steady clock
  // How far begin_host_ns may be off. Empty without calibrated timestamps: it is the moment of submission then.
  std::optional<uint64_t> deviation_ns = {};

  double total_ns() const;
  // Spans of equal scope summed, the longest first.
  std::vector<ProfileSpan> by_scope() const;
  // The same by the outermost name of each scope: "loss" for "loss/logits".
  std::vector<ProfileSpan> by_part() const;
};

// The host's steady clock, in which everything of the host is told here.
int64_t steady_now_ns();

}  // namespace lapilli
