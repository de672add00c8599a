#version 460
#include "shaders/common.glsl"
#include "shaders/matmul_scalar.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32, any strides: NN, NT and TN differ in
// nothing else. Lane l has columns l, l + kSubgroup, ... of the tile; a block is kSubgroup steps of K.

void main() {
  const uint lane = gl_SubgroupInvocationID;
  const uint tile_cols = kCols * kSubgroup;
  const uint tiles_across = (args.cols + tile_cols - 1) / tile_cols;
  const uint tile = linear_group();
  const uint row0 = (tile / tiles_across) * kRows;
  const uint col0 = (tile % tiles_across) * tile_cols + lane;
  const uint rows = live_extent().x, depth = live_extent().y;
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
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      if (row0 + i >= rows) break;
      store(row0 + i, col, sum[i][j]);
    }
  }
}
