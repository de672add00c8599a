#version 460
#include "shaders/common.glsl"
// Logits again, stored as gradients of logits, on any GPU.
const uint kContiguous = 3;  // x and w along D
#include "shaders/matmul_tiled.glsl"
#include "shaders/loss_recompute.glsl"

void main() {
  Operands o = operands();
  const uint tiles_across = (o.cols + kCols - 1) / kCols;
  const uint row0 = linear_group() / tiles_across * kRows, col0 = linear_group() % tiles_across * kCols;
  if (row0 >= o.rows) return;
  multiply(o, row0, col0);
  [[unroll]] for (uint i = 0; i < 4 * kBlocksR; ++i) {
    const uint row = row0 + block_row(i / 4) + i % 4;
    if (row >= o.rows) continue;
    const RowGradient terms = row_gradient(args, 1.0, row);
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j)
      [[unroll]] for (uint x = 0; x < 4; ++x) {
        const uint col = col0 + block_col(j) + x;
        if (col < o.cols)
          args.gradient.at[row * args.logits_stride + col] = logit_gradient(terms, col, args.alpha * sum[i][j][x], args.softcap, 0.0);
      }
  }
}
