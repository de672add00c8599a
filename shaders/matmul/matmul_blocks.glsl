// A tile of a product as the threads of a workgroup hold it after multiply(), whatever made it: a thread has kBlocksR x kBlocksC
// blocks of 4 x 4 elements, blocks of a thread half a tile apart, so that neighbours touch neighbouring vec4. Epilogues are
// written against this.
//
// NN, NT and TN differ in strides; a constant kContiguous, declared before this is included, says which dimension is
// contiguous in memory, so that consecutive threads read consecutive elements: bit 0: a is contiguous along K (else along
// rows), bit 1: b is contiguous along K (else columns).
#define BAND_ROWS 8
#include "shaders/matmul/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 64;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 64;

const bool kAAlongDepth = (kContiguous & 1) != 0, kBAlongDepth = (kContiguous & 2) != 0;
const uint kBlocksR = kRows >= 128 ? 2 : 1;
const uint kBlocksC = kCols >= 128 ? 2 : 1;
const uint kAcross = kCols / (4 * kBlocksC);  // threads; REQUIRES: kWorkgroup = kAcross * kRows / (4 * kBlocksR)
const uint kPaddedRows = kRows + 4;

vec4 sum[kBlocksR * 4][kBlocksC];

// Where this thread's block of four rows, and of four columns, begins within the tile.
uint thread_across() { return gl_LocalInvocationIndex % kAcross; }
uint block_row(uint block) { return block * (kRows / 2) + 4 * (gl_LocalInvocationIndex / kAcross); }
uint block_col(uint block) { return 4 * (block * kAcross + thread_across()); }
