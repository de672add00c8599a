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
// The tile (down, across) of a workgroup among tiles (down, across): neighbours share the rows of a. `row_step`: common.glsl's
// spread(), 1 where all rows count.
uvec2 tile_of_group(uvec2 tiles, uint row_step) {
  return uvec2(spread(linear_group() / tiles.y, tiles.x, row_step), linear_group() % tiles.y);
}
uint a_row_start(uint row);  // each kernel says where the rows of its a lie
