#pragma once
// Time of a program per scope, with the work that its dispatches declared.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lapilli {

// Measured peak rates of a device. 0: unknown.
struct Ceilings {
  double flops_per_s = 0;         // f32 multiply-adds
  double bytes_per_s = 0;         // bytes read plus bytes written by a copy too large for caches
  double matrix_flops_per_s = 0;  // multiply-adds of cooperative matrices, 16-bit operands, where matmuls use them

  // The peak rate for matmuls.
  double matmul_flops_per_s() const { return matrix_flops_per_s > 0 ? matrix_flops_per_s : flops_per_s; }
};

// A consecutive part of a program under one scope.
struct ProfileSpan {
  std::string scope;
  uint64_t dispatches = 0;
  double flops = 0, bytes = 0;  // declared
  double matrix_flops = 0;      // of the flops, those of cooperative matrices
  double begin_ns = 0;          // measured, since the start of the first span
  double ns = 0;                // measured

  void add_work(const ProfileSpan& other);   // all but scope and begin_ns
  void divide_work(uint64_t count);          // turns sums over `count` runs into means
};

// Share of the roofline: measured peak FLOP/s or copy bandwidth, whichever binds.
struct CeilingShare {
  double share = 0;        // 0: unknown. May exceed 1 when data is in caches
  bool of_memory = false;  // bound by bytes_per_s, else by the peak FLOP/s
};
CeilingShare share_of_ceiling(const ProfileSpan& span, const Ceilings& ceilings);

struct Profile {
  std::vector<ProfileSpan> spans;  // in execution order; each starts where the one before ends
  int64_t begin_host_ns = 0;       // start of the first span on the host's steady clock
  // Maximum error of begin_host_ns. Empty without calibrated timestamps: begin_host_ns is then the time of submission.
  std::optional<uint64_t> deviation_ns = {};

  double total_ns() const;
  // Spans of equal scope summed, the longest first.
  std::vector<ProfileSpan> by_scope() const;
  // The same by the outermost name of each scope: "loss" for "loss/logits".
  std::vector<ProfileSpan> by_part() const;
};

// The host's steady clock, used for all host times.
int64_t steady_now_ns();

}  // namespace lapilli
