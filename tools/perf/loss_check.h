#pragma once
// A batch for `lapilli bench loss`, and a check of its results against double precision on sampled rows.

#include <functional>
#include <span>
#include <vector>

#include "model/loss/loss_plan.h"
#include "tools/perf/loss_reference.h"
#include "tools/perf/timed_program.h"

namespace lapilli {

// Inputs and outputs of a batch.
struct LossBatch {
  // Valid rows are evenly distributed. x and w have the operand type, as in training.
  LossBatch(BenchMemory& memory, const LossShape& shape, double valid_fraction, Precision precision);

  Tensor x, w, d_x, d_w;                // [N,D] [V,D] [N,D] [V,D]
  Tensor nll, targets, weights;         // [N]
  Tensor sums, status, inverse_weight;  // [kSumCount] [kStatusWords] [1]
  std::vector<uint32_t> ids;            // the targets
  std::vector<uint32_t> valid;          // rows
  float inverse_valid = 1;
};

// The largest errors over the checked rows; NaN if a value is NaN.
struct LossError {
  double nll_nats = 0;
  double d_x = 0, d_w = 0;  // relative to the largest component of its row
};

// The reference for some valid rows of a batch and some rows of its vocabulary, targets and others.
class LossCheck {
 public:
  LossCheck(Device& device, const LossBatch& batch);  // of a batch in memory
  size_t count() const { return rows_.size(); }

  // Poisons nll, d_x and the checked rows of d_w with NaN, calls `run`, and returns the errors.
  LossError error(const std::function<void()>& run, bool training);

 private:
  std::vector<float> read(const ConstTensor& tensor, uint32_t first, uint32_t count = 1) const;  // rows
  void gather();  // valid_
  double d_w_error(std::span<const float> nll);

  Device& device_;
  const LossBatch& batch_;
  std::vector<uint32_t> rows_;   // of x
  std::vector<uint32_t> words_;  // rows of w
  LossReference reference_;
  std::vector<LossRow> valid_;  // all valid rows as needed for d_w, except their nll, which comes from the current run
};

}  // namespace lapilli
