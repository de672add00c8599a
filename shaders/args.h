// The one header that C++ and GLSL share: for every kernel the struct of its push constants, and the ids of the
// specialization constants.
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

#include "engine/access.h"

namespace lapilli::args {

using uint = uint32_t;
using InF32 = In<float>;
using OutF32 = Out<float>;
using InOutF32 = InOut<float>;
using InU32 = In<uint32_t>;
using OutU32 = Out<uint32_t>;
using InOutU32 = InOut<uint32_t>;

#define SPEC_CONSTANT(name, id) constexpr uint32_t name = id;
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

#define SPEC_CONSTANT(name, id) const uint name = id;
#define is_null(pointer) (uvec2(pointer) == uvec2(0))
#endif

// ---- specialization constants ----
SPEC_CONSTANT(SPEC_WORKGROUP, 0)    // invocations of a workgroup
SPEC_CONSTANT(SPEC_SUBGROUP, 1)     // invocations of a subgroup, as the device has it
SPEC_CONSTANT(SPEC_TILE_ROWS, 2)    // matmul: rows of C a lane (scalar) or a workgroup (tiled) computes
SPEC_CONSTANT(SPEC_TILE_COLS, 3)    // matmul: columns, likewise
SPEC_CONSTANT(SPEC_TILE_DEPTH, 4)   // matmul: steps of K staged at once (tiled)
SPEC_CONSTANT(SPEC_HEAD_WIDTH, 5)   // attention: E
SPEC_CONSTANT(SPEC_VARIANT, 6)      // a kernel with a few forms says in its header what each value means

// ---- matmul_scalar.comp, matmul_tiled.comp ----
// c [rows,cols] = alpha * op(a) op(b) + bias + addend
struct MatmulArgs {
  InOutF32 c;       // [rows, cols], rows c_stride apart
  InF32 a;          // element (row, k) at row * a_row + k * a_depth
  InF32 b;          // element (k, col) at k * b_depth + col * b_col
  InF32 bias;       // [cols] or null
  InF32 addend;     // laid out like c, may be c itself (accumulate); or null
  InU32 live;       // [1] or null: how many rows (live_is_depth = 0) or steps of K (1) count; the rest is not touched
  uint rows, cols, depth;
  uint c_stride;
  uint a_row, a_depth;
  uint b_depth, b_col;
  uint live_is_depth;
  float alpha;
};

#ifdef __cplusplus
}  // namespace lapilli::args
#endif
#endif
