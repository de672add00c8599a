#pragma once
// Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the constants of PyTorch's GradScaler).
//
// Gradients are scaled by a power of two, so that small ones do not underflow in f16; the gradient norm removes the
// scale exactly. A step whose gradients overflow is skipped and halves the scale; after kGrowthSteps good steps in a
// row it doubles. f32 and bf16 have enough range: their scale is always 1.

#include <cstdint>

#include "engine/memory/dtype.h"

namespace lapilli {

// The part stored in checkpoints. A value of 0 means the initial scale.
struct LossScaleState {
  double value = 0;
  uint32_t good_steps = 0;  // since the value last changed
  uint32_t skipped = 0;     // steps that overflowed, in all
  bool operator==(const LossScaleState&) const = default;
};

class LossScale {
 public:
  static constexpr uint32_t kGrowthSteps = 2000;
  static constexpr double kInitial = 65536, kLargest = 16777216;

  explicit LossScale(Precision precision, const LossScaleState& state = {});

  bool is_dynamic() const { return dynamic_; }
  double value() const { return state_.value; }
  const LossScaleState& state() const { return state_; }
  // To be called after a step with finite, or non-finite, gradients.
  void note_good_step();
  // False when no scale helps: it is already 1.
  bool note_overflow();

 private:
  bool dynamic_;
  LossScaleState state_;
};

}  // namespace lapilli
