// What the matmul kernels for CPU drivers share. One subgroup is a workgroup and computes kRows x (kCols * kSubgroup) of a
// product; each lane holds kRows x kCols accumulators in registers. A block of K at a time: each lane reads its own steps of
// K of a row of a, and a broadcast from a constant lane hands them round, so that many scattered reads become one. The order
// "all columns of b for the block, then row by row" keeps one row's accumulators in registers for the whole block. No shared
// memory, no barrier: they cost a software driver more than they save. Accumulator: f32, K in ascending order.
//
// Two forms of `multiply` exist: matmul_scalar_words.glsl and matmul_scalar_pairs.glsl. Each gives `sum`, lane_column(), and
// write_neighbours(): values[j] and the kNeighbours - 1 that follow go to memory at once.
#include "shaders/matmul/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 8;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 2;
const uint kTileCols = kCols * kSubgroup;

// One value for each row of the tile: lane l of register g has that of row g * kSubgroup + l. A driver on a processor reads as many
// addresses at once as one that it cannot prove to be the same in all lanes, and a broadcast from a constant lane is cheap.
const uint kRowRegisters = (kRows + kSubgroup - 1) / kSubgroup;
// The row whose value a lane reads into register g; beyond the edge the last one, whose value nobody uses.
uint row_of_lane(uint row0, uint g, uint rows) { return min(row0 + g * kSubgroup + gl_SubgroupInvocationID, rows - 1); }
#define of_row(registers, i) subgroupBroadcast(registers[(i) / kSubgroup], (i) % kSubgroup)
