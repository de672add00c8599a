// multiply() on any GPU, f32.
//
// A workgroup computes its tile kDepth steps of K at a time from shared memory, each thread its blocks
// (matmul_blocks.glsl). Both operands are staged with K as the slow dimension (transposed if necessary); rows are
// padded by one vec4. The next stage is fetched into registers after the barrier that publishes this one, and overlaps
// with the math.
//
//   tile      threads  accumulators  registers  shared     a step of K, per thread      global, FLOPs per byte
//   32 x 32      64         16          ~50       4.6 KB   2 vec4 read for 16 FMA                8
//   64 x 64     256         16          ~50       8.7 KB   2 vec4 read for 16 FMA               16
//   128 x 128   256         64         ~115      16.9 KB   4 vec4 read for 64 FMA               32
// A wave of 32 is 2 rows of threads by 16 columns, a wave of 64 is 4 by 16 (8 columns in the small tile): reads of a are
// broadcasts, reads of b are 16 consecutive vec4 (no bank conflicts). At 115 registers two workgroups share a
// SM. Nothing depends on the subgroup width.
//
// Accumulator: f32, K in ascending order.
//
// Declared before the include: kContiguous (matmul_blocks.glsl), and kEvenRows: whether row r of a begins at
// r * a_row_start(1).
#include "shaders/matmul/matmul_blocks.glsl"

layout(constant_id = SPEC_TILE_DEPTH) const uint kDepth = 16;
const uint kFetchA = kRows * kDepth / kWorkgroup;      // elements a thread stages
const uint kFetchB = kCols * kDepth / kWorkgroup;

// Plain floats, read four at a time: Mesa compiles a store to a dynamically indexed component of a shared vec4 to a
// chain of branches.
const uint kPaddedCols = kCols + 4;
shared float a_s[kDepth * kPaddedRows];
shared float b_s[kDepth * kPaddedCols];
#define EXCHANGE a_s      // free after multiply(), for epilogues: at least kThreadsN * kPaddedRows floats,
#define EXCHANGE_ROWS b_s // and kRows
#define load_vec4(array, at) vec4(array[at], array[(at) + 1], array[(at) + 2], array[(at) + 3])

// Place of element i of a thread's part of a stage: x = row or column of the tile, y = step of K. Written as offsets
// from the first one: a compiler that does not find them uses registers for each. AMD's used 168 instead of 116 for NN
// in the large tile, so that a SIMD of Vega held one wave instead of two. REQUIRES: kWorkgroup a multiple of kRows,
// kCols and kDepth.
uvec2 place(uint i, uint width, bool along_depth) {
  const uint t = gl_LocalInvocationIndex;
  return along_depth ? uvec2(t / kDepth + i * (kWorkgroup / kDepth), t % kDepth) : uvec2(t % width, t / width + i * (kWorkgroup / width));
}

// Load addresses of a thread's elements of a stage: the i-th is min(first + i * step, limit). The elements are in one
// step of K, or in one row or column, so that no address needs a multiplication. Rows and columns beyond the edge read
// the last one, and their sums are not used. Steps beyond the depth also read the last one; the store to shared memory
// replaces them by 0, because any use of a fetched value before the math, even a select with 0, would wait for the
// load.
struct LoadIterator {
  uint first, step, limit;
};
// `at`: of the stage, row or column and step of K; `last`: those of the operand; `strides` of them in memory.
LoadIterator load_iterator(uvec2 at, uint width, bool along_depth, uvec2 last, uvec2 strides) {
  at += place(0, width, along_depth);
  const uvec2 from = at * strides, to = last * strides;
  return along_depth ? LoadIterator(from.x + min(from.y, to.y), kWorkgroup / kDepth * strides.x, to.x + min(from.y, to.y))
                     : LoadIterator(min(from.x, to.x) + from.y, kWorkgroup / width * strides.y, min(from.x, to.x) + to.y);
}

// All threads of the workgroup call it.
void multiply(Operands o, uint row0, uint col0) {
  uint a_at[kFetchA];  // of uneven rows
  if (!kEvenRows)
    [[unroll]] for (uint i = 0; i < kFetchA; ++i) a_at[i] = a_row_start(min(row0 + place(i, kRows, kAAlongDepth).x, o.rows - 1));
  [[unroll]] for (uint i = 0; i < kBlocksR * 4; ++i)
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j) sum[i][j] = vec4(0.0);

  float next_a[kFetchA], next_b[kFetchB];
  const uvec3 last = uvec3(o.rows, o.cols, max(o.depth, 1)) - 1;
#define FETCH(from)                                                                                                                        \
  {                                                                                                                                        \
    const LoadIterator a = load_iterator(uvec2(row0, from), kRows, kAAlongDepth, last.xz, uvec2(kEvenRows ? a_row_start(1) : 0, o.a_depth));                \
    const LoadIterator b = load_iterator(uvec2(col0, from), kCols, kBAlongDepth, last.yz, uvec2(o.b_col, o.b_depth));                                       \
    [[unroll]] for (uint i = 0; i < kFetchA; ++i) next_a[i] = o.a.at[(kEvenRows ? 0 : a_at[i]) + min(a.first + i * a.step, a.limit)];      \
    [[unroll]] for (uint i = 0; i < kFetchB; ++i) next_b[i] = o.b.at[min(b.first + i * b.step, b.limit)];                                  \
  }

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
    FETCH(k0 + kDepth)  // after the last stage: not used
    // A GPU's compiler unrolls this loop. Not [[unroll]]: lavapipe's compile time would explode.
    for (uint k = 0; k < kDepth; ++k) {
      vec4 b[kBlocksC];
      [[unroll]] for (uint j = 0; j < kBlocksC; ++j) b[j] = load_vec4(b_s, k * kPaddedCols + block_col(j));
      [[unroll]] for (uint block = 0; block < kBlocksR; ++block) {
        const vec4 a = load_vec4(a_s, k * kPaddedRows + block_row(block));
        [[unroll]] for (uint i = 0; i < 4; ++i)
          [[unroll]] for (uint j = 0; j < kBlocksC; ++j) sum[block * 4 + i][j] += a[i] * b[j];
      }
    }
  }
#undef FETCH
}
