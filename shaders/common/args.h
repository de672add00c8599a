// What C++ and GLSL share: in the args.h of each family, for every kernel the struct of its push constants; here what families have in
// common, and the ids of the specialization constants.
//
// Pointer types say how memory is used: In (read), Out (written), InOut (both); the recorder works the barriers out from
// that. Pointers come first in each struct, then 4-byte scalars; no struct is larger than 128 bytes. A pointer marked
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
// f32, f16 or bf16, as a SPEC_*_TYPE says: shaders make of it what it is.
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutReal { uint unknown; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer InOutReal { uint unknown; };

#define SPEC_CONSTANT(name, id) const uint name = id;
#define ARGS_BEGIN
#define ARGS_END
#define is_null(pointer) (uvec2(pointer) == uvec2(0))
// What may be read through in any case: the pointer, or in place of null `other`, of memory that is there. For a word that all lanes read from
// one place: the lavapipe of Mesa 26.1 reads it in spite of a short branch around that.
#define readable(Type, pointer, other) Type(mix(uvec2(pointer), uvec2(other), bvec2(is_null(pointer))))
#endif

// ---- specialization constants ----
SPEC_CONSTANT(SPEC_WORKGROUP, 0)    // invocations of a workgroup
SPEC_CONSTANT(SPEC_SUBGROUP, 1)     // invocations of a subgroup, as the device has it
SPEC_CONSTANT(SPEC_TILE_ROWS, 2)    // matmul: rows of C a lane (scalar) or a workgroup (tiled) computes
SPEC_CONSTANT(SPEC_TILE_COLS, 3)    // matmul: columns, likewise
SPEC_CONSTANT(SPEC_TILE_DEPTH, 4)   // matmul: steps of K staged at once (tiled)
SPEC_CONSTANT(SPEC_HEAD_WIDTH, 5)   // E
SPEC_CONSTANT(SPEC_VARIANT, 6)      // a kernel with a few forms says in its header what each value means
SPEC_CONSTANT(SPEC_ELEMENTS, 7)     // kernels over a flat range: elements a lane takes (shaders/common/elements.glsl)
SPEC_CONSTANT(SPEC_STRIP, 8)        // loss: columns of the vocabulary a workgroup goes through, a multiple of its tile's
SPEC_CONSTANT(SPEC_ALIGNED, 9)      // whose rows begin where several elements can be taken at once
SPEC_CONSTANT(SPEC_FRAGMENT_ROWS, 10)   // rows, columns and depth of what the device multiplies at once
SPEC_CONSTANT(SPEC_FRAGMENT_COLS, 11)
SPEC_CONSTANT(SPEC_FRAGMENT_DEPTH, 12)
SPEC_CONSTANT(SPEC_SUBGROUPS_DOWN, 13)  // subgroups over the rows of a workgroup's tile; the others lie side by side
SPEC_CONSTANT(SPEC_A_TYPE, 14)      // what Real pointers point at, kF32, kF16 or kBF16. Products: a, b, and c with the addend.
SPEC_CONSTANT(SPEC_B_TYPE, 15)      // Other kernels: C is what they write; of what they read, their headers say which is A and B.
SPEC_CONSTANT(SPEC_C_TYPE, 16)
SPEC_CONSTANT(SPEC_EPILOGUE, 18)    // products: bit 0: a bias may be there, 1: an addend; 2: c and they may be touched two floats at a time; 3: a scale
SPEC_CONSTANT(SPEC_SOFTCAP, 17)     // loss: 0: no logits are capped, whatever the arguments say
SPEC_CONSTANT(SPEC_WIDTH, 20)       // norms: columns of a row
SPEC_CONSTANT(SPEC_NONLINEARITY, 19)  // products: what their sums pass through on their way to c, kLinear, kGelu, ...
SPEC_CONSTANT(SPEC_CONTEXT, 21)     // T, where positions are taken out of rows
SPEC_CONSTANT(SPEC_TURNED, 22)      // products: columns of c that turn (kRotary); attention backward: 1: d_q and d_k turn back
SPEC_CONSTANT(SPEC_TRANSPOSES, 23)  // products: 1: what does not lie along K in memory is turned on its way to shared memory (coopmat)
const uint kF32 = 0, kF16 = 1, kBF16 = 2;

// ---- SPEC_NONLINEARITY: what sums y of a product pass through on their way to c ----
const uint kLinear = 0;          // y
const uint kGelu = 1;            // gelu(y)
const uint kGeluKept = 2;        // gelu(y), and y itself goes to `kept`
const uint kGeluBackward = 3;    // y gelu'(before): the gradient of what GELU read
const uint kSwigluBackward = 4;  // gradients of the pairs (gate, up) in `before`: it and c are [rows, 2 * cols], rows 2 * c_stride apart
const uint kRotary = 5;          // pairs of neighbouring columns, turned as rope.comp does: SPEC_TURNED columns, heads of SPEC_HEAD_WIDTH, position
                                 // row % SPEC_CONTEXT; `before` is RopeArgs::turns
const uint kSwiglu = 6;          // silu(gate) up of pairs (gate, up) of neighbouring columns, which go to `kept`; c is [rows, cols / 2], rows
                                 // c_stride / 2 apart

#ifdef __cplusplus
}  // namespace lapilli::args
#endif
#endif
