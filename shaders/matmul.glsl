// The operands of a product op(a) op(b): element (row, k) of a at a_row_start(row) + k * a_depth, element (k, col) of b at
// k * b_depth + col * b_col. Rows beyond `rows` and columns beyond `cols` are never read; at least one of each is there.
struct Operands {
  InF32 a, b;
  uint rows, cols, depth;
  uint a_depth, b_depth, b_col;
};
uint a_row_start(uint row);  // each kernel says where the rows of its a lie
