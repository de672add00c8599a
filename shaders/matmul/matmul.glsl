// The operands of a matmul op(a) op(b): element (row, k) of a at a_row_start(row) + k * a_depth, element (k, col) of b
// at k * b_depth + col * b_col. Rows beyond `rows` and columns beyond `cols` are never read; at least one of each
// exists. OPERAND is the type of their pointers: f32 by default.
#ifndef OPERAND
#define OPERAND InF32
#endif
struct Operands {
  OPERAND a, b;
  uint rows, cols, depth;
  uint a_depth, b_depth, b_col;
};
// The tile (row, column) of a workgroup in a grid of `tiles`; beyond the grid if there is none for it. The order is
// bands of BAND_ROWS rows of tiles, column by column within a band, so that concurrent workgroups share few rows of a
// and columns of b, which stay in caches. Panels of a and of b (as many rows or columns as a tile has) that concurrent
// workgroups read:
//                                 24 workgroups, 18 tile columns     192, 64 columns    192, 393 columns (a vocabulary)
//   row by row                              2 + 18                       3 + 64               1 + 192
//   bands of 8                              8 +  3                       8 + 24               8 + 24
// A CPU driver runs few workgroups at once: row by row, adjacent workgroups share the rows of a. `permutation_step`: see
// common.glsl's strided_permutation(); 1 if all rows are valid.
#ifndef BAND_ROWS
#define BAND_ROWS 1
#endif
uvec2 tile_of_group(uvec2 tiles, uint permutation_step) {
  const uint index = linear_group(), band = index / (BAND_ROWS * tiles.y) * BAND_ROWS;
  if (band >= tiles.x) return uvec2(index / tiles.y, 0);
  const uint within = index - band * tiles.y, rows = min(BAND_ROWS, tiles.x - band);
  const uint row = band + within % rows, col = within / rows;
  return col < tiles.y ? uvec2(strided_permutation(row, tiles.x, permutation_step), col) : uvec2(tiles.x, 0);
}
uint a_row_start(uint row);  // defined by each kernel: start of a row of a
