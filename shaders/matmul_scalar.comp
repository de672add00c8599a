#version 460
#include "shaders/common.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32.
//
// One subgroup is a workgroup and computes kRows x (kCols * kSubgroup) of c: lane l holds kRows x kCols accumulators in
// registers, for columns l, l + kSubgroup, ... of the tile. A block of kSubgroup steps of K at a time: each lane reads one
// step of K of a row of a, and a broadcast from a constant lane hands it round, so that kSubgroup scattered reads become
// one. The order "all columns of b, then row by row" keeps one row's accumulators in registers for the whole block; no
// shared memory, no barrier (they cost a software driver more than they save).
// NN, NT and TN differ in strides only. Accumulator: f32, K in ascending order.

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 8;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 2;

layout(push_constant, std430) uniform Push { MatmulArgs args; };

void main() {
  const uint lane = gl_SubgroupInvocationID;
  const uint tile_cols = kCols * kSubgroup;
  const uint tiles_across = (args.cols + tile_cols - 1) / tile_cols;
  const uint tile = linear_group();
  const uint row0 = (tile / tiles_across) * kRows;
  const uint col0 = (tile % tiles_across) * tile_cols + lane;

  uint rows = args.rows, depth = args.depth;
  if (!is_null(args.live)) {
    if (args.live_is_depth != 0) depth = min(depth, args.live.at[0]);
    else rows = min(rows, args.live.at[0]);
  }
  if (row0 >= rows) return;

  // Rows and columns beyond the edge read the last one and are not stored.
  uint a_at[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i) a_at[i] = min(row0 + i, rows - 1) * args.a_row;
  uint b_at[kCols];
  [[unroll]] for (uint j = 0; j < kCols; ++j) b_at[j] = min(col0 + j * kSubgroup, args.cols - 1) * args.b_col;

  float sum[kRows][kCols];
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] = 0.0;

  const uint whole = depth / kSubgroup * kSubgroup;
  for (uint k0 = 0; k0 < whole; k0 += kSubgroup) {
    float b[kSubgroup][kCols];
    [[unroll]] for (uint k = 0; k < kSubgroup; ++k)
      [[unroll]] for (uint j = 0; j < kCols; ++j) b[k][j] = args.b.at[(k0 + k) * args.b_depth + b_at[j]];
    const uint a_k = (k0 + lane) * args.a_depth;
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      const float a = args.a.at[a_at[i] + a_k];
      [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
        const float a_ik = subgroupBroadcast(a, k);
        [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] += a_ik * b[k][j];
      }
    }
  }
  for (uint k = whole; k < depth; ++k) {
    [[unroll]] for (uint j = 0; j < kCols; ++j) {
      const float b = args.b.at[k * args.b_depth + b_at[j]];
      [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i][j] += args.a.at[a_at[i] + k * args.a_depth] * b;
    }
  }

  [[unroll]] for (uint j = 0; j < kCols; ++j) {
    const uint col = col0 + j * kSubgroup;
    if (col >= args.cols) break;
    const float bias = is_null(args.bias) ? 0.0 : args.bias.at[col];
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      if (row0 + i >= rows) break;
      const uint at = (row0 + i) * args.c_stride + col;
      const float addend = is_null(args.addend) ? 0.0 : args.addend.at[at];
      args.c.at[at] = args.alpha * sum[i][j] + bias + addend;
    }
  }
}
