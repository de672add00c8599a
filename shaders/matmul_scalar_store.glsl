// main() of the plain product on CPU drivers.
#include "shaders/matmul_store.glsl"

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kTileCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows || adds_nothing(o)) return;
  multiply(o, row0, col0);
  [[unroll]] for (uint j = 0; j < kCols; ++j) {
    const uint col = col0 + lane_column(j);
    if (col >= o.cols) break;
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      if (row0 + i >= o.rows) break;
      store(row0 + i, col, sum[i][j]);
    }
  }
}
