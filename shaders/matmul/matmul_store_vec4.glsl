// main() of a matmul with the tile in blocks: stores four adjacent elements of a row at once.
//
// Included before: matmul_store.glsl and a form of multiply(). Declared before: the requirements of matmul_finish.glsl,
// with kAtOnce 4.
#include "shaders/matmul/matmul_finish.glsl"

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows || leaves_c_unchanged(o)) return;
  multiply(o, row0, col0);
  const float alpha = scaled_alpha(o);
  const bool biased = has_bias(), added = has_addend();
  [[unroll]] for (uint j = 0; j < kBlocksC; ++j) {
    const uint col = col0 + block_col(j);
    if (col >= o.cols) break;
    const uint count = min(o.cols - col, 4);
    vec4 bias = vec4(0.0);
    [[unroll]] for (uint x = 0; x < 4; ++x)
      if (biased && col + x < o.cols) bias[x] = args.bias.at[col + x];
    [[unroll]] for (uint i = 0; i < 4 * kBlocksR; ++i) {
      const uint row = row0 + block_row(i / 4) + i % 4;
      if (row >= o.rows) break;
      const uint at = row * args.c_stride + col;
      const vec4 y = alpha * sum[i][j] + bias;
      finish(uvec2(row, col), at, added ? y + load_like_c(args.addend, at, count) : y, count);
    }
  }
}
