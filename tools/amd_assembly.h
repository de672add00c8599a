#pragma once
// AMD's assembly as Mesa prints it: labels "BB3:", then an instruction a line.

#include <cstdint>
#include <optional>
#include <string_view>

namespace lapilli {

// The share of f32 multiply-adds among the vector instructions of the loop that does `per_turn` of them a turn; the compiler may
// have unrolled all of them, or left one loop inside. Nothing where neither is so.
std::optional<double> multiply_add_share(std::string_view assembly, uint32_t per_turn);

}  // namespace lapilli
