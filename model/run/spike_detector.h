#pragma once
// Values far above their recent trend: losses and gradient norms that jump.

#include <optional>

#include "model/io/training_state.h"

namespace lapilli {

// Standard deviations above the trend at which a value is a spike.
inline constexpr double kSpikeZ = 6;

// The z-score of `value` against the exponentially weighted mean and variance of the values before it (Finch 2009, "Incremental calculation of
// weighted mean and variance", section 9), then adds it to them. Empty until there are enough of them, and for a value that is not
// finite, which is not added. A spike is added as if it were three standard deviations high, so that the next one is still seen.
std::optional<double> z_score(TrendState& trend, double value);

}  // namespace lapilli
