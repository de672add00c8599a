// The operands of a product op(a) op(b): element (row, k) of a at a_row_start(row) + k * a_depth, element (k, col) of b at
// k * b_depth + col * b_col. Rows beyond `rows` and columns beyond `cols` are never read; at least one of each is there.
// OPERAND is the type of their pointers: f32, unless the kernel that includes this takes others too.
#ifndef OPERAND
#define OPERAND InF32
#endif
struct Operands {
  OPERAND a, b;
  uint rows, cols, depth;
  uint a_depth, b_depth, b_col;
};
// The tile (down, across) of a workgroup among tiles (down, across), beyond them where there is none for it. Bands of BAND_ROWS rows of tiles,
// in a band column by column: what workgroups at work at the same time want then is few rows of a and columns of b, which caches hold.
// Panels of a and of b, each as many rows or columns as a tile has, that so many workgroups at once want:
//                                 24 workgroups, 18 tiles across     192, 64 across     192, 393 across (a vocabulary)
//   row by row                              2 + 18                       3 + 64               1 + 192
//   bands of 8                              8 +  3                       8 + 24               8 + 24
// A driver on a processor has few workgroups at once: row by row, neighbours share the rows of a. `row_step`: common.glsl's spread(), 1 where
// all rows count.
#ifndef BAND_ROWS
#define BAND_ROWS 1
#endif
uvec2 tile_of_group(uvec2 tiles, uint row_step) {
  const uint index = linear_group(), band = index / (BAND_ROWS * tiles.y) * BAND_ROWS;
  if (band >= tiles.x) return uvec2(index / tiles.y, 0);
  const uint within = index - band * tiles.y, rows = min(BAND_ROWS, tiles.x - band);
  const uint row = band + within % rows, across = within / rows;
  return across < tiles.y ? uvec2(spread(row, tiles.x, row_step), across) : uvec2(tiles.x, 0);
}
uint a_row_start(uint row);  // each kernel says where the rows of its a lie
