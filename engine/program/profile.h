#pragma once
// Where the time of a program goes: per scope name, with the work its dispatches declared.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lapilli {

// What a device does at most, measured. 0: unknown.
struct Ceilings {
  double flops_per_s = 0;         // f32 multiply-adds
  double bytes_per_s = 0;         // read and written by a copy too large for caches
  double matrix_flops_per_s = 0;  // multiply-adds of cooperative matrices with 16-bit factors, where products are made of them

  // What products are measured against.
  double product_flops_per_s() const { return matrix_flops_per_s > 0 ? matrix_flops_per_s : flops_per_s; }
};

// One stretch of a program under one scope.
struct ProfileSpan {
  std::string scope;
  uint64_t dispatches = 0;
  double flops = 0, bytes = 0;  // declared
  double matrix_flops = 0;      // of the flops, those of cooperative matrices
  double begin_ns = 0;          // measured, from the beginning of the first span
  double ns = 0;                // measured

  void add_work(const ProfileSpan& other);   // all but scope and begin_ns
  void divide_work(uint64_t count);          // into the mean of so many
};

// How near a span came to the ceiling that its declared work meets first.
struct CeilingShare {
  double share = 0;        // 0: unknown. Above 1 for bytes that caches held
  bool of_memory = false;  // of bytes_per_s, else of the other two: the time that its flops would take at those rates
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
