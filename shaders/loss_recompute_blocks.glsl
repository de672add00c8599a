// Logits again, stored as gradients of logits, from a tile in blocks.
#include "shaders/loss_recompute.glsl"

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols));
  const uint row0 = start.x, col0 = start.y;
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
