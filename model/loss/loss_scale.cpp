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

void LossScale::note_overflow() {
  CHECK(dynamic_, "overflow of unscaled gradients");
  if (state_.value <= 1)
    throw Error(
        "gradients overflow f16 even without a loss scale; lower optim.lr, lengthen optim.warmup, or set train.precision to "
        "\"bf16\" or \"f32\"");
  state_.value /= 2;
  state_.good_steps = 0;
  ++state_.skipped;
}

}  // namespace lapilli
