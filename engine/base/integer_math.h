#pragma once

#include <cstdint>

namespace lapilli {

constexpr uint64_t ceil_div(uint64_t a, uint64_t b) { return (a + b - 1) / b; }
// The smallest multiple of `grain` that is not below `value`.
constexpr uint64_t round_up(uint64_t value, uint64_t grain) { return ceil_div(value, grain) * grain; }
constexpr double mib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace lapilli
