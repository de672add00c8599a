#pragma once
// Rotary position embedding (Su et al. 2021, RoFormer) in Hugging Face's rotate-half convention: elements i and i + E/2 of
// a head are turned by the angle position * theta^(-2i/E).
//
// GLSL promises little for pow, sin and cos, so the cosines and sines come from the host: computed in double, rounded once
// to f32, good at any position.

#include <vector>

#include "model/ops.h"

namespace lapilli {

struct RopeTables {
  std::vector<float> cosines, sines;  // [T, E/2] each
};
RopeTables make_rope_tables(uint32_t context /*T*/, uint32_t head_width /*E, even*/, double theta);

enum class RopeDirection { forward, backward };  // backward turns gradients by the opposite angle

// Turns the q and k heads of qkv [N, (H+2G)*E] in place: H query heads, then G key heads, then G value heads (untouched).
// Row n stands at position n % T. qkv may be f32, f16 or bf16; in 16 bits E must be a multiple of 4. The tables have at least T rows: [>=T, E/2].
void rope(Ops& ops, Tensor qkv, ConstTensor cos_table, ConstTensor sin_table, uint32_t context /*T*/, uint32_t heads /*H*/,
          uint32_t kv_heads /*G*/, RopeDirection direction);

}  // namespace lapilli
