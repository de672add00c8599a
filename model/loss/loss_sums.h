#pragma once
// What a batch's loss comes to, as the host reads it back: sums over its rows, and what was wrong with them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace lapilli {

// The sums a batch leaves (order of args::kSum*), read back by the host.
struct LossSums {
  double weight = 0, nll = 0, objective = 0, hits = 0, z_loss = 0, rows = 0;
  double teacher_entropy = 0, teacher_cross_entropy = 0, teacher_kl = 0;  // 0 without a teacher
  LossSums& operator+=(const LossSums& other);
};
LossSums read_loss_sums(std::span<const float> words);
// Throws Error naming the row and the id when a target is not below V, or the row whose loss is not finite. `what` says
// which batch ("step 12, micro-batch 0").
void require_good_targets(std::span<const uint32_t> status, uint32_t vocab, const std::string& what);
std::optional<uint32_t> non_finite_row(std::span<const uint32_t> status);

}  // namespace lapilli
