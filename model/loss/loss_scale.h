#pragma once
// Dynamic loss scaling (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the constants of PyTorch's GradScaler).
//
// Gradients are computed times a power of two, so that small ones do not vanish in f16; it is taken out again, exactly, when the
// norm is made. A step whose gradients overflow is skipped and halves the scale; after kGrowthSteps good ones in a row it
// doubles. f32 and bf16 have room enough: their scale is always 1.

#include <cstdint>

#include "engine/memory/dtype.h"

namespace lapilli {

// What a checkpoint keeps. A value of 0 stands for the initial one.
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
  // A step went well, or its gradients were not finite.
  void note_good_step();
  // Throws Error when the scale is 1 already: no scale helps.
  void note_overflow();

 private:
  bool dynamic_;
  LossScaleState state_;
};

}  // namespace lapilli
