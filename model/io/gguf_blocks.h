#pragma once
// How ggml stores values: single ones, or blocks of 32 that share a scale
// (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h):
//   q8_0  f16 d, i8 q[32]             value = d q
//   q4_0  f16 d, 4-bit q[32]          value = d (q - 8)
//   q4_1  f16 d, f16 m, 4-bit q[32]   value = d q + m
// Of the 16 bytes of 4-bit q, the low halves are the first 16 values, the high halves the others.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/io/gguf.h"

namespace lapilli {

struct GgmlBlock {
  uint64_t values, bytes;
};
// Nothing for a type that cannot be read here.
std::optional<GgmlBlock> ggml_block(uint32_t type);

// "Q6_K"; "type 99" for an unknown number.
std::string ggml_type_name(uint32_t type);

// REQUIRES: whole blocks of `type`.
std::vector<float> ggml_values(GgmlType type, std::span<const std::byte> bytes);

}  // namespace lapilli
