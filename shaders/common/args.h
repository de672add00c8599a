// Shared by C++ and GLSL. The args.h of each family has the struct of each kernel's push constants; this file has the
// declarations that all families need, and the ids of the specialization constants.
//
// Pointer types say how memory is used: In (read), Out (written), InOut (both); the recorder derives barriers from
// them. Pointers come first in each struct, then 4-byte scalars; no struct is larger than 128 bytes. A pointer marked
// "or null" may be an empty slice; shaders test it with is_null().
//
// Shape letters: B sequences, T positions, N = B*T tokens, D model width, H heads, G key/value heads, E head width,
// F feed-forward width, V vocabulary, L layers.

#ifndef LAPILLI_SHADERS_ARGS_H
#define LAPILLI_SHADERS_ARGS_H

#ifdef __cplusplus
#include <cstdint>

#include "engine/memory/access.h"

namespace lapilli::args {

using uint = uint32_t;
using InF32 = In<float>;
using OutF32 = Out<float>;
using InOutF32 = InOut<float>;
using InU32 = In<uint32_t>;
using OutU32 = Out<uint32_t>;
using InOutU32 = InOut<uint32_t>;
using InReal = In<Real>;
using OutReal = Out<Real>;
using InOutReal = InOut<Real>;

#define SPEC_CONSTANT(name, id) constexpr uint32_t name = id;
#define ARGS_BEGIN namespace lapilli::args {
#define ARGS_END }
#else
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : enable

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutF32 { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InU32 { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutU32 { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutU32 { uint at[]; };
// f32, f16 or bf16, given by a SPEC_*_TYPE: shaders cast the pointer accordingly.
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutReal { uint unknown; };

#define SPEC_CONSTANT(name, id) const uint name = id;
#define ARGS_BEGIN
#define ARGS_END
#define is_null(pointer) (uvec2(pointer) == uvec2(0))
// The pointer, or `other` (valid memory) when it is null. Needed for loads from a uniform address: Mesa 26.1's lavapipe
// executes them even inside a short branch that is not taken.
#define pointer_or(Type, pointer, other) Type(mix(uvec2(pointer), uvec2(other), bvec2(is_null(pointer))))
#endif

// ---- specialization constants ----
SPEC_CONSTANT(SPEC_WORKGROUP, 0)    // invocations of a workgroup
SPEC_CONSTANT(SPEC_SUBGROUP, 1)     // invocations of a subgroup
SPEC_CONSTANT(SPEC_TILE_ROWS, 2)    // matmul: rows of C a lane (cpu) or a workgroup (tiled) computes
SPEC_CONSTANT(SPEC_TILE_COLS, 3)    // matmul: columns, likewise
SPEC_CONSTANT(SPEC_TILE_DEPTH, 4)   // matmul: steps of K staged at once (tiled)
SPEC_CONSTANT(SPEC_HEAD_WIDTH, 5)   // E
SPEC_CONSTANT(SPEC_VARIANT, 6)      // variant of a kernel; its header documents the values
SPEC_CONSTANT(SPEC_ELEMENTS, 7)     // kernels over a flat range: elements per lane (shaders/common/elements.glsl)
SPEC_CONSTANT(SPEC_VOCAB_BLOCK, 8)        // loss: vocabulary columns per workgroup, a multiple of its tile's columns
SPEC_CONSTANT(SPEC_ALIGNED, 9)      // operands whose rows are aligned for vector accesses
SPEC_CONSTANT(SPEC_FRAGMENT_ROWS, 10)   // rows, columns and depth of a cooperative matrix product
SPEC_CONSTANT(SPEC_FRAGMENT_COLS, 11)
SPEC_CONSTANT(SPEC_FRAGMENT_DEPTH, 12)
SPEC_CONSTANT(SPEC_SUBGROUPS_M, 13)  // subgroups along the rows of a workgroup's tile; the rest are along its columns
SPEC_CONSTANT(SPEC_A_TYPE, 14)      // element types of Real pointers, kF32, kF16 or kBF16. Matmul: a, b, c with addend.
SPEC_CONSTANT(SPEC_B_TYPE, 15)      // Other kernels: C is the output; their headers say which inputs are A and B.
SPEC_CONSTANT(SPEC_C_TYPE, 16)
SPEC_CONSTANT(SPEC_EPILOGUE, 18)    // matmul: bit 0: bias, 1: addend, 3: scale; 2: 64-bit access to c, bias, addend
SPEC_CONSTANT(SPEC_SOFTCAP, 17)     // loss: 0: no softcap, whatever the arguments are
SPEC_CONSTANT(SPEC_WIDTH, 20)       // norms: columns of a row
SPEC_CONSTANT(SPEC_NONLINEARITY, 19)  // matmul: function fused into the store, kLinear, kGelu, ...
SPEC_CONSTANT(SPEC_CONTEXT, 21)     // T, to compute positions from rows
SPEC_CONSTANT(SPEC_ROTARY, 22)      // matmul: columns of c to rotate; attention backward: 1: rotate d_q and d_k back
SPEC_CONSTANT(SPEC_TRANSPOSES, 23)  // coopmat matmul: 1: transpose operands not contiguous along K when staging
const uint kF32 = 0, kF16 = 1, kBF16 = 2;

// ---- SPEC_NONLINEARITY: function of y fused into the store of a matmul ----
const uint kLinear = 0;          // y
const uint kGelu = 1;            // gelu(y)
const uint kGeluKept = 2;        // gelu(y), and y itself is stored in `kept`
const uint kGeluBackward = 3;    // y gelu'(before): the gradient of GELU's input
const uint kSwigluBackward = 4;  // gradients of the pairs (gate, up) in `before`; it and c are [rows, 2 * cols], stride
                                 // 2 * c_stride
const uint kRotary = 5;          // rotates pairs of adjacent columns like rope.comp: SPEC_ROTARY columns, heads of
                                 // SPEC_HEAD_WIDTH, position row % SPEC_CONTEXT; `before` is RopeArgs::cos_sin_table
const uint kSwiglu = 6;          // silu(gate) up of pairs (gate, up) of adjacent columns, stored in `kept`; c is
                                 // [rows, cols / 2], stride c_stride / 2

#ifdef __cplusplus
}  // namespace lapilli::args
#endif
#endif
