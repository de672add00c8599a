#pragma once
// The results of a batch's loss on the host: sums over its rows, and errors in them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace lapilli {

// The sums of a batch, in the order of args::kSum*, as read back by the host.
struct LossSums {
  double weight = 0, nll = 0, objective = 0, top1_correct = 0, z_loss = 0, rows = 0;
  double teacher_entropy = 0, teacher_cross_entropy = 0, teacher_kl = 0;  // 0 without a teacher
  LossSums& operator+=(const LossSums& other);
};
LossSums read_loss_sums(std::span<const float> words);
// Throws Error naming the row and the id when a target is not below V. `what` names the batch ("step 12, micro-batch
// 0").
void require_good_targets(std::span<const uint32_t> status, uint32_t vocab, const std::string& what);
// The row whose loss is not finite, if any.
std::optional<uint32_t> non_finite_row(std::span<const uint32_t> status);

}  // namespace lapilli
