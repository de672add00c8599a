// The layout of a tile in the threads of a workgroup after multiply(), the same for all its implementations: a thread
// has kBlocksR x kBlocksC blocks of 4 x 4 elements, half a tile apart, so that adjacent threads access adjacent vec4.
// Epilogues use this layout.
//
// NN, NT and TN differ in strides. The constant kContiguous, declared before the include, gives the dimension that is
// contiguous in memory, so that consecutive threads read consecutive elements: bit 0: a is contiguous along K (else along
// rows), bit 1: b is contiguous along K (else columns).
#define BAND_ROWS 8
#include "shaders/matmul/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 64;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 64;

const bool kAAlongDepth = (kContiguous & 1) != 0, kBAlongDepth = (kContiguous & 2) != 0;
const uint kBlocksR = kRows >= 128 ? 2 : 1;
const uint kBlocksC = kCols >= 128 ? 2 : 1;
const uint kThreadsN = kCols / (4 * kBlocksC);  // threads; REQUIRES: kWorkgroup = kThreadsN * kRows / (4 * kBlocksR)
const uint kPaddedRows = kRows + 4;

vec4 sum[kBlocksR * 4][kBlocksC];

// Start of this thread's block of four rows, and of four columns, within the tile.
uint thread_n() { return gl_LocalInvocationIndex % kThreadsN; }
uint block_row(uint block) { return block * (kRows / 2) + 4 * (gl_LocalInvocationIndex / kThreadsN); }
uint block_col(uint block) { return 4 * (block * kThreadsN + thread_n()); }
