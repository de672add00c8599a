#include "model/loss/loss_scale.h"

#include <algorithm>

#include "engine/base/error.h"

namespace lapilli {

LossScale::LossScale(Precision precision, const LossScaleState& state) : dynamic_(precision == Precision::f16), state_(state) {
  if (!dynamic_) state_ = {.value = 1};
  if (state_.value == 0) state_.value = kInitial;
}

void LossScale::note_good_step() {
  if (!dynamic_ || ++state_.good_steps < kGrowthSteps) return;
  state_.value = std::min(2 * state_.value, kLargest);
  state_.good_steps = 0;
}

bool LossScale::note_overflow() {
  if (!dynamic_ || state_.value <= 1) return false;
  state_.value /= 2;
  state_.good_steps = 0;
  ++state_.skipped;
  return true;
}

}  // namespace lapilli
