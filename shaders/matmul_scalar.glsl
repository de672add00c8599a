// What the two matmul kernels for CPU drivers share. One subgroup is a workgroup and computes kRows x (kCols * kSubgroup) of
// c; each lane holds kRows x kCols accumulators in registers. A block of K at a time: each lane reads its own steps of K of
// a row of a, and a broadcast from a constant lane hands them round, so that many scattered reads become one. The order
// "all columns of b for the block, then row by row" keeps one row's accumulators in registers for the whole block. No shared
// memory, no barrier: they cost a software driver more than they save. Accumulator: f32, K in ascending order.
layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 8;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 2;

layout(push_constant, std430) uniform Push { MatmulArgs args; };

// The rows and the depth that count, by args.live.
uvec2 live_extent() {
  uint rows = args.rows, depth = args.depth;
  if (!is_null(args.live)) {
    if (args.live_is_depth != 0) depth = min(depth, args.live.at[0]);
    else rows = min(rows, args.live.at[0]);
  }
  return uvec2(rows, depth);
}

void store(uint row, uint col, float sum) {
  const float bias = is_null(args.bias) ? 0.0 : args.bias.at[col];
  const uint at = row * args.c_stride + col;
  const float addend = is_null(args.addend) ? 0.0 : args.addend.at[at];
  args.c.at[at] = args.alpha * sum + bias + addend;
}
