#pragma once
// The angles of the rotary position embedding, per step of position.

#include <cstdint>
#include <vector>

namespace lapilli {

enum class RopeScalingKind { none, llama3 };
constexpr const char* kRopeScalingNames[] = {"none", "llama3"};

// How a model trained on `original_context` positions is made to read more. llama3 (Llama 3.1; `rope_type` of Hugging Face): pairs that turn
// fewer than low_freq_factor times over the original context turn `factor` times slower, those that turn more than high_freq_factor times
// stay, the ones between are a mixture of both.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::none;
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  uint32_t original_context = 8192;
};

// Radians per position of each of the E/2 pairs: theta^(-2i/E), scaled. REQUIRES: E even, low_freq_factor < high_freq_factor.
std::vector<double> rope_frequencies(uint32_t head_width /*E*/, double theta, const RopeScaling& scaling = {});

}  // namespace lapilli
