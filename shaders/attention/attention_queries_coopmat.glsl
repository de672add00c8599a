// Shared by the two cooperative-matrix attention kernels that hold queries and stream keys (forward, d_q). Include
// after attention_coopmat.glsl.
uint h;                      // the workgroup's
uint key_head, value_head;   // its group's, among the heads of qkv
uint first_key, last_key;    // visible to a query of the tile; the first is a multiple of kCols
uint last_start;             // the first key visible to the last query

// Starts with the longest tiles. False: nothing to do.
bool find_queries() {
  const uint T = args.context, H = args.heads, G = args.kv_heads, tiles = (T + kRows - 1) / kRows;
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return false;
  first_token = b * T;
  h = linear_group() / tiles % H;
  key_head = H + h / (H / G);
  value_head = key_head + G;
  query0 = (tiles - 1 - linear_group() % tiles) * kRows;
  last_key = min(query0 + kRows, T) - 1;
  first_key = start_of(query0) / kCols * kCols;
  last_start = start_of(last_key);
  return true;
}
// Whether the current tile has masked scores.
bool masked_tile() { return key0 + kCols - 1 > query0 || key0 < last_start; }

// The next tile; after the last, the last again, because fetches are unconditional.
uint next_key0() { return min(key0 + kCols, last_key / kCols * kCols); }

// nan_mask() for elements e.. of the keys, or values, of a head that a query sees.
uvec4 nan_of_seen(uint head, uint row, uint e) {
  const uint query = query0 + row;
  Rows rows = heads_of_qkv(0, head);
  uvec4 mask = uvec4(0);
  for (uint key = start_of(query); key <= query; ++key) mask |= non_finite(read_operands(rows, key, e));
  return mask;
}
