// Arguments of the kernels that measure a device. See shaders/common/args.h.
#ifndef LAPILLI_SHADERS_BENCH_ARGS_H
#define LAPILLI_SHADERS_BENCH_ARGS_H

#include "shaders/common/args.h"

ARGS_BEGIN

// ---- bench_fma.comp ----
struct BenchFmaArgs {
  OutF32 result;  // [count] or null: nothing is done (the cost of a launch)
  uint count;     // invocations
  uint steps;     // each is 64 multiply-adds in every chain (SPEC_TILE_COLS chains)
  float shift;    // x = x * its neighbour + shift, again and again
};

// ---- bench_matrix.comp ----
struct BenchMatrixArgs {
  OutF32 result;   // [stored, SPEC_FRAGMENT_ROWS * SPEC_FRAGMENT_COLS]
  uint stored;     // the first subgroups leave their sums
  uint steps;      // each is 16 products in every chain (SPEC_TILE_COLS chains)
  float scale;     // of the operands
};

ARGS_END

#endif
