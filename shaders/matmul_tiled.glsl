// multiply() on any GPU, f32.
//
// A workgroup computes its tile kDepth steps of K at a time, from shared memory, each thread its blocks (matmul_blocks.glsl).
// Both operands are staged with K as the slow dimension (a transposed where it must be); rows are padded by one vec4.
// The next stage is fetched into registers after the barrier that publishes this one and so travels during the math.
//
//   tile      threads  accumulators  registers  shared     a step of K, per thread      global, FLOPs per byte
//   32 x 32      64         16          ~50       4.6 KB   2 vec4 read for 16 FMA                8
//   64 x 64     256         16          ~50       8.7 KB   2 vec4 read for 16 FMA               16
//   128 x 128   256         64         ~115      16.9 KB   4 vec4 read for 64 FMA               32
// A wave of 32 is 2 rows of threads by 16 columns, a wave of 64 is 4 by 16 (8 columns in the small tile): reads of a are
// broadcasts, reads of b are 16 consecutive vec4 (no bank conflicts). At 115 registers two workgroups share a
// multiprocessor. Nothing depends on the subgroup width.
//
// Accumulator: f32, K in ascending order.
#include "shaders/matmul_blocks.glsl"

layout(constant_id = SPEC_TILE_DEPTH) const uint kDepth = 16;
const uint kFetchA = kRows * kDepth / kWorkgroup;      // elements a thread stages
const uint kFetchB = kCols * kDepth / kWorkgroup;

// Plain floats, read four at a time: a store to a component of a shared vec4 chosen at run time becomes a ladder of branches
// in Mesa.
const uint kPaddedCols = kCols + 4;
shared float a_s[kDepth * kPaddedRows];
shared float b_s[kDepth * kPaddedCols];
#define EXCHANGE a_s      // free after multiply(), for epilogues: at least kAcross * kPaddedRows floats,
#define EXCHANGE_ROWS b_s // and kRows
#define four(array, at) vec4(array[at], array[(at) + 1], array[(at) + 2], array[(at) + 3])

// Where element i of a thread's part of a stage lies: x = row or column of the tile, y = step of K. Written as steps from the
// first one, since a compiler that cannot see them keeps registers for each: AMD's took 168 instead of 116 for NN in the large
// tile, and Vega's SIMD then held one wave instead of two. REQUIRES: kWorkgroup a multiple of kRows, kCols and kDepth.
uvec2 place(uint i, uint width, bool along_depth) {
  const uint t = gl_LocalInvocationIndex;
  return along_depth ? uvec2(t / kDepth + i * (kWorkgroup / kDepth), t % kDepth) : uvec2(t % width, t / width + i * (kWorkgroup / width));
}

// All threads of the workgroup call it.
void multiply(Operands o, uint row0, uint col0) {
  // Rows and columns beyond the edge read the last one, and nobody uses their sums; steps beyond the depth are zero.
  uint a_at[kFetchA], b_at[kFetchB];
  [[unroll]] for (uint i = 0; i < kFetchA; ++i) a_at[i] = a_row_start(min(row0 + place(i, kRows, kAAlongDepth).x, o.rows - 1));
  [[unroll]] for (uint i = 0; i < kFetchB; ++i) b_at[i] = min(col0 + place(i, kCols, kBAlongDepth).x, o.cols - 1) * o.b_col;
  [[unroll]] for (uint i = 0; i < kBlocksR * 4; ++i)
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j) sum[i][j] = vec4(0.0);

  float next_a[kFetchA], next_b[kFetchB];
  const uint last = max(o.depth, 1) - 1;
  // Beyond the depth the last step again: that it counts as 0 is seen to on the way to shared memory, since whatever wants a fetched value
  // here, a choice between it and 0 too, would wait for it before the math.
#define FETCH(from)                                                                                                                      \
  [[unroll]] for (uint i = 0; i < kFetchA; ++i) next_a[i] = o.a.at[a_at[i] + min(from + place(i, kRows, kAAlongDepth).y, last) * o.a_depth]; \
  [[unroll]] for (uint i = 0; i < kFetchB; ++i) next_b[i] = o.b.at[b_at[i] + min(from + place(i, kCols, kBAlongDepth).y, last) * o.b_depth];

  FETCH(0)
  for (uint k0 = 0; k0 < o.depth; k0 += kDepth) {
    barrier();  // the last stage has been read
    [[unroll]] for (uint i = 0; i < kFetchA; ++i) {
      const uvec2 to = place(i, kRows, kAAlongDepth);
      a_s[to.y * kPaddedRows + to.x] = k0 + to.y < o.depth ? next_a[i] : 0.0;
    }
    [[unroll]] for (uint i = 0; i < kFetchB; ++i) {
      const uvec2 to = place(i, kCols, kBAlongDepth);
      b_s[to.y * kPaddedCols + to.x] = k0 + to.y < o.depth ? next_b[i] : 0.0;
    }
    barrier();
    FETCH(k0 + kDepth)  // after the last stage for nobody
    // Unrolled by a GPU's compiler; not by lavapipe, whose compile time would explode.
    for (uint k = 0; k < kDepth; ++k) {
      vec4 b[kBlocksC];
      [[unroll]] for (uint j = 0; j < kBlocksC; ++j) b[j] = four(b_s, k * kPaddedCols + block_col(j));
      [[unroll]] for (uint block = 0; block < kBlocksR; ++block) {
        const vec4 a = four(a_s, k * kPaddedRows + block_row(block));
        [[unroll]] for (uint i = 0; i < 4; ++i)
          [[unroll]] for (uint j = 0; j < kBlocksC; ++j) sum[block * 4 + i][j] += a[i] * b[j];
      }
    }
  }
#undef FETCH
}
