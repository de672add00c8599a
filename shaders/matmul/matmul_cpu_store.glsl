// main() of matmul on CPU drivers.
//
// Included before: matmul_store.glsl and a form of multiply(). Declared before: kStored, the number of adjacent columns
// of a lane stored at once. Defined after: store_sums(), which stores alpha sum[i][j] and the next kStored - 1 columns.
void store_sums(uint row, uint col, float alpha, uint i, uint j);

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kTileCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows || leaves_c_unchanged(o)) return;
  multiply(o, row0, col0);
  const float alpha = scaled_alpha(o);
  [[unroll]] for (uint j = 0; j < kCols; j += kStored) {
    const uint col = col0 + lane_column(j);
    if (col >= o.cols) break;
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      if (row0 + i >= o.rows) break;
      store_sums(row0 + i, col, alpha, i, j);
    }
  }
}
