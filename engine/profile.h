#pragma once
// Where the time of a program goes: per scope name, with the work its dispatches declared.

#include <cstdint>
#include <string>
#include <vector>

namespace lapilli {

// One stretch of a program under one scope.
struct ProfileSpan {
  std::string scope;
  uint64_t dispatches = 0;
  double flops = 0, bytes = 0;  // declared
  double ns = 0;                // measured
};

struct Profile {
  std::vector<ProfileSpan> spans;  // in the order they ran

  double total_ns() const;
  // Spans of equal scope summed, the longest first.
  std::vector<ProfileSpan> by_scope() const;
  // The same by the outermost name of each scope: "loss" for "loss/logits".
  std::vector<ProfileSpan> by_part() const;
  // Both as a table: scope, dispatches, ms, share, GFLOP/s, GB/s.
  std::string table() const;
};

}  // namespace lapilli
