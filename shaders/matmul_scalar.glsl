// What the matmul kernels for CPU drivers share. One subgroup is a workgroup and computes kRows x (kCols * kSubgroup) of a
// product; each lane holds kRows x kCols accumulators in registers. A block of K at a time: each lane reads its own steps of
// K of a row of a, and a broadcast from a constant lane hands them round, so that many scattered reads become one. The order
// "all columns of b for the block, then row by row" keeps one row's accumulators in registers for the whole block. No shared
// memory, no barrier: they cost a software driver more than they save. Accumulator: f32, K in ascending order.
//
// Two forms of `multiply` exist: matmul_scalar_words.glsl and matmul_scalar_pairs.glsl. Each gives `sum`, lane_column(), and
// write_neighbours(): values[j] and the kNeighbours - 1 that follow go to memory at once.
#include "shaders/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 8;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 2;
const uint kTileCols = kCols * kSubgroup;
