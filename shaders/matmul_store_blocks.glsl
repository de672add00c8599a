// The epilogue of a tile in blocks where c is f32.
#include "shaders/matmul_store_words.glsl"

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows || adds_nothing(o)) return;
  multiply(o, row0, col0);
  const float alpha = scaled_alpha(o);
  [[unroll]] for (uint block = 0; block < kBlocksR; ++block)
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const uint row = row0 + block_row(block) + i;
      if (row >= o.rows) break;
      [[unroll]] for (uint j = 0; j < kBlocksC; ++j)
        [[unroll]] for (uint x = 0; x < 4; ++x) {
          const uint col = col0 + block_col(j) + x;
          if (col >= o.cols) break;
          store(row, col, alpha * sum[block * 4 + i][j][x]);
        }
    }
}
