#pragma once
// Rotary position embedding (Su et al. 2021, RoFormer): rotates the i-th pair of a head at position t by the angle
// t * theta^(-2i/E), or slower (rope_scaling.h).
//
// Pairs are adjacent here, elements 2i and 2i + 1 of a head, so that one thread has both. Hugging Face pairs i with
// i + E/2: ParameterArray reorders the rows of the weights accordingly (model/transformer/parameters.h). Attention
// scores do not depend on the order, because they are sums over a head.
//
// GLSL guarantees little precision for pow, sin and cos. So the host computes cosines and sines in double and rounds
// once to f32, accurate at any position.

#include <vector>

#include "model/ops/ops.h"
#include "model/ops/rope_scaling.h"
#include "model/ops/rotary.h"

namespace lapilli {

// Cosine and sine of each angle: [T, E], pair i of position t at t * E + 2i.
std::vector<float> make_cos_sin_table(uint32_t context /*T*/, uint32_t head_width /*E, even*/, double theta, const RopeScaling& scaling = {});

enum class RopeDirection { forward, backward };  // backward rotates gradients by the opposite angle

// Rotates qkv, f32, f16 or bf16, in place, as a separate pass. In forward, matmul_nt fuses it where possible
// (MatmulOptions::rotary); attention_backward returns gradients already rotated back.
void rope(Ops& ops, Tensor qkv, const Rotary& rotary, RopeDirection direction);

}  // namespace lapilli
