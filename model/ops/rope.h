#pragma once
// Rotary position embedding (Su et al. 2021, RoFormer): the i-th pair of a head at position t is turned by the angle t * theta^(-2i/E).
//
// Pairs are neighbours here, elements 2i and 2i + 1 of a head, so that whatever has one has the other. Hugging Face pairs i with i + E/2:
// ParameterArray orders the rows of the weights so that the same numbers meet (model/transformer/parameters.h). No score depends on it, being a sum over a head.
//
// GLSL promises little for pow, sin and cos, so cosines and sines come from the host: computed in double, rounded once to f32, good at
// any position.

#include <vector>

#include "model/ops/ops.h"

namespace lapilli {

// Cosine and sine of each angle: [T, E], pair i of position t at t * E + 2i.
std::vector<float> make_turns(uint32_t context /*T*/, uint32_t head_width /*E, even*/, double theta);

// Which columns of a matrix [N, (H+2G)*E] turn: the H query heads and G key heads that stand first, not the G value heads.
struct Rotary {
  ConstTensor turns;      // [>=T, E], or empty: nothing turns
  uint32_t context;       // T: row n stands at position n % T
  uint32_t turned_heads;  // H + G

  uint32_t head_width() const { return turns.cols(); }
  uint32_t turned_cols() const { return turned_heads * head_width(); }
};
// CHECKs that `rotary` is one of qkv's.
void check_rotary(const Rotary& rotary, const ConstTensor& qkv);

double rope_flops(const Rotary& rotary, uint32_t rows);

enum class RopeDirection { forward, backward };  // backward turns gradients by the opposite angle

// Turns qkv, f32, f16 or bf16, in place: a pass of its own. Forward, matmul_nt takes it along where it can (MatmulOptions::rotary), and
// attention_backward gives gradients that are turned back.
void rope(Ops& ops, Tensor qkv, const Rotary& rotary, RopeDirection direction);

}  // namespace lapilli
