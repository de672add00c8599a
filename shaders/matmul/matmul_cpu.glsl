// Shared by the matmul kernels for CPU drivers. A workgroup is one subgroup and computes a tile kRows x (kCols *
// kSubgroup); each lane holds kRows x kCols accumulators in registers. K is processed in blocks: each lane reads its
// steps of K of a row of a, and broadcasts from constant lanes share them, so that many scattered loads become one. The
// order "all columns of b for the block, then row by row" keeps one row's accumulators in registers for the whole
// block. No shared memory, no barrier: they cost a software driver more than they save. Accumulator: f32, K in
// ascending order.
//
// Two forms of multiply() exist: matmul_cpu_load32.glsl (32-bit loads) and matmul_cpu_load64.glsl (64-bit loads).
// Each provides `sum`, lane_column(), and write_neighbours(), which stores values[j] and the next kNeighbours - 1 at
// once.
#include "shaders/matmul/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 8;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 2;
const uint kTileCols = kCols * kSubgroup;

// One value for each row of the tile: lane l of register g has that of row g * kSubgroup + l. For a CPU driver a gather
// costs the same as a load that it cannot prove uniform, and a broadcast from a constant lane is cheap.
const uint kRowRegisters = (kRows + kSubgroup - 1) / kSubgroup;
// The row whose value a lane reads into register g; beyond the edge the last one, whose value is not used.
uint row_of_lane(uint row0, uint g, uint rows) { return min(row0 + g * kSubgroup + gl_SubgroupInvocationID, rows - 1); }
#define of_row(registers, i) subgroupBroadcast(registers[(i) / kSubgroup], (i) % kSubgroup)
