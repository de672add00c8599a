#include "model/loss/loss_sums.h"

#include "engine/base/error.h"
#include "shaders/common/args.h"
#include "shaders/loss/args.h"

namespace lapilli {

LossSums read_loss_sums(std::span<const float> words) {
  CHECK(words.size() >= args::kSumCount);
  const auto at = [&](uint32_t index) { return static_cast<double>(words[index]); };
  return {.weight = at(args::kSumWeight),
          .nll = at(args::kSumNll),
          .objective = at(args::kSumObjective),
          .top1_correct = at(args::kSumTop1Correct),
          .z_loss = at(args::kSumZLoss),
          .rows = at(args::kSumRows),
          .teacher_entropy = at(args::kSumTeacherEntropy),
          .teacher_cross_entropy = at(args::kSumTeacherCrossEntropy),
          .teacher_kl = at(args::kSumTeacherKl)};
}

LossSums& LossSums::operator+=(const LossSums& other) {
  weight += other.weight;
  nll += other.nll;
  objective += other.objective;
  top1_correct += other.top1_correct;
  z_loss += other.z_loss;
  rows += other.rows;
  teacher_entropy += other.teacher_entropy;
  teacher_cross_entropy += other.teacher_cross_entropy;
  teacher_kl += other.teacher_kl;
  return *this;
}

void require_good_targets(std::span<const uint32_t> status, uint32_t vocab, const std::string& what) {
  if (status[args::kStatusBadTargets] == 0) return;
  throw Error(
      "{}: the target of row {} is {}, but the vocabulary has {} tokens ({} such rows); the data was made for "
      "another tokenizer",
      what, status[args::kStatusBadRow], status[args::kStatusBadId], vocab, status[args::kStatusBadTargets]);
}

std::optional<uint32_t> non_finite_row(std::span<const uint32_t> status) {
  const uint32_t row = status[args::kStatusNonFiniteRow];
  return row == args::kNoRow ? std::nullopt : std::optional(row);
}

}  // namespace lapilli
