#include "model/ops/rope_scaling.h"

#include <cmath>
#include <numbers>

#include "engine/base/error.h"

namespace lapilli {

std::vector<double> rope_frequencies(uint32_t head_width, double theta, const RopeScaling& scaling) {
  CHECK(head_width % 2 == 0, "rope needs an even head width, not {}", head_width);
  std::vector<double> frequencies;
  for (uint32_t i = 0; i < head_width / 2; ++i) {
    double frequency = std::pow(theta, -2.0 * i / head_width);
    if (scaling.kind == RopeScalingKind::llama3) {
      const double turns = scaling.original_context * frequency / (2 * std::numbers::pi);
      const double kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      const double share = std::fmin(std::fmax(kept, 0.0), 1.0);
      frequency *= share + (1 - share) / scaling.factor;
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

}  // namespace lapilli
