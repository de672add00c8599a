#pragma once
// What a rotary embedding rotates (model/ops/rope.h), as a pass or fused into a matmul.

#include "engine/memory/tensor.h"

namespace lapilli {

// The columns of a matrix [N, (H+2G)*E] to rotate: the first H query heads and G key heads, not the G value heads.
struct Rotary {
  ConstTensor cos_sin_table;      // cos/sin table [>=T, E], or empty: no rotation
  uint32_t context;       // T: row n has position n % T
  uint32_t rotary_heads;  // H + G

  uint32_t head_width() const { return cos_sin_table.cols(); }
  uint32_t rotary_cols() const { return rotary_heads * head_width(); }
};
// CHECKs that `rotary` fits qkv.
void check_rotary(const Rotary& rotary, const ConstTensor& qkv);

double rope_flops(const Rotary& rotary, uint32_t rows);

}  // namespace lapilli
