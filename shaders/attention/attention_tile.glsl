// GEMMs of 64 x 64 tiles in shared memory, for the tiled attention kernels. Include after attention.glsl.
//
// 256 threads as 16 x 16: thread (m, n) holds rows 4*m.. and columns 4*n.. of a tile, row i in element i of an array of
// vec4. Nothing depends on the subgroup width. Operands are staged 16 steps of the summed dimension at a time,
// transposed, so that a thread reads its four rows or columns as one vec4; rows are padded by one vec4.
// Staging reads 16 (nt) or 64 (p) consecutive floats of a row at once, and the next stage is fetched into registers while
// this one is multiplied. A stage moves 8 KiB for 131 kFLOP (nt), 4 KiB for as many (p): 16 and 32 FLOPs a byte.
// Shared memory: 2 * 4352 + 17408 + 4096 = 30208 bytes, below the 32 KiB without which a GPU is refused.
// Shared memory is plain floats: Mesa compiles a store to a dynamically indexed component of a shared vec4 to a chain
// of branches. Loops that read it have no [[unroll]]: a GPU's compiler unrolls 16 iterations itself, while lavapipe's
// compile time grows with the square of the shared accesses in a kernel with barriers (minutes, in LLVM's coroutine
// pass). Accumulators: f32, ascending order.

const uint kTile = 64;
const uint kStage = 16;
const uint kSpans = (kWidth + kTile - 1) / kTile;  // tiles across E

const uint kRow = kTile + 4;
shared float a_s[kStage * kRow];
shared float b_s[kStage * kRow];
shared float p_s[kTile * kRow];  // [column][row] of a tile of probabilities or of their gradients
shared uint seen_s[kTile][kTile / 4];   // bit i: element i of p_s counts

uint thread_m() { return gl_LocalInvocationIndex / 16; }
uint thread_n() { return gl_LocalInvocationIndex % 16; }

// 64 rows of memory, E wide: row r, element e at `at + r * stride + e`; rows from `count` on read the last one.
struct Rows {
  InF32 memory;
  uint at, stride, count;
};

// Floats 4 * i.. of a staged row; drivers make one 16-byte read of it.
#define load_vec4(array, row, i) \
  vec4(array[(row) * kRow + 4 * (i)], array[(row) * kRow + 4 * (i) + 1], array[(row) * kRow + 4 * (i) + 2], array[(row) * kRow + 4 * (i) + 3])

// This thread's part of the stage at e0: element e of four rows. Beyond E it reads the last one; the store to shared memory
// replaces it by 0, because any use of a fetched value before the math would wait for the load.
vec4 fetch(Rows rows, uint e0) {
  const uint e = e0 + gl_LocalInvocationIndex % kStage, row = gl_LocalInvocationIndex / kStage;
  vec4 values;
  [[unroll]] for (uint i = 0; i < 4; ++i)
    values[i] = rows.memory.at[rows.at + min(row + 16 * i, rows.count - 1) * rows.stride + min(e, kWidth - 1)];
  return values;
}

// sum += a bt over E.
void add_product_nt(inout vec4 sum[4], Rows a, Rows b) {
  const uint e = gl_LocalInvocationIndex % kStage, row = gl_LocalInvocationIndex / kStage;
  vec4 next_a = fetch(a, 0), next_b = fetch(b, 0);
  for (uint e0 = 0; e0 < kWidth; e0 += kStage) {
    barrier();  // the last stage has been read
    const bool within = kWidth % kStage == 0 || e0 + e < kWidth;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      a_s[e * kRow + row + 16 * i] = within ? next_a[i] : 0.0;
      b_s[e * kRow + row + 16 * i] = within ? next_b[i] : 0.0;
    }
    barrier();
    next_a = fetch(a, e0 + kStage);  // after the last iteration: not used
    next_b = fetch(b, e0 + kStage);
    for (uint k = 0; k < kStage; ++k) {
      const vec4 rows = load_vec4(a_s, k, thread_m()), cols = load_vec4(b_s, k, thread_n());
      [[unroll]] for (uint i = 0; i < 4; ++i) sum[i] += rows[i] * cols;
    }
  }
}

// This thread's part of the stage of 16 rows from k0, 64 columns: four rows of a column.
vec4 fetch_span(Rows rows, uint k0, uint span) {
  const uint col = gl_LocalInvocationIndex % kTile, k = gl_LocalInvocationIndex / kTile;
  vec4 values;
  [[unroll]] for (uint i = 0; i < 4; ++i)
    values[i] = rows.memory.at[rows.at + min(k0 + k + 4 * i, rows.count - 1) * rows.stride + min(span * kTile + col, kWidth - 1)];
  return values;
}

// sum += p_st b: [64 rows, E], over the 64 columns of p_s. What seen_s excludes is left out when `masked` (0 * NaN is NaN).
// The caller has written p_s and seen_s without a barrier after.
void add_product_p(inout vec4 sum[kSpans][4], Rows b, bool masked) {
  const uint my_col = gl_LocalInvocationIndex % kTile, my_k = gl_LocalInvocationIndex / kTile;
  vec4 next = fetch_span(b, 0, 0);
  for (uint k0 = 0; k0 < kTile; k0 += kStage) {
    [[unroll]] for (uint span = 0; span < kSpans; ++span) {
      barrier();  // p_s is written, the last stage has been read
      [[unroll]] for (uint i = 0; i < 4; ++i) b_s[(my_k + 4 * i) * kRow + my_col] = next[i];
      barrier();
      next = fetch_span(b, span + 1 < kSpans ? k0 : k0 + kStage, (span + 1) % kSpans);
      if (masked) {
        for (uint k = 0; k < kStage; ++k) {
          const vec4 rows = load_vec4(p_s, k0 + k, thread_m()), cols = load_vec4(b_s, k, thread_n());
          const uint seen = seen_s[k0 + k][thread_m()];
          [[unroll]] for (uint i = 0; i < 4; ++i)
            sum[span][i] += (seen >> i & 1) != 0 ? rows[i] * cols : vec4(0.0);
        }
      } else {
        for (uint k = 0; k < kStage; ++k) {
          const vec4 rows = load_vec4(p_s, k0 + k, thread_m()), cols = load_vec4(b_s, k, thread_n());
          [[unroll]] for (uint i = 0; i < 4; ++i) sum[span][i] += rows[i] * cols;
        }
      }
    }
  }
}

// This thread's 4 x 4 elements, for add_product_p. `seen`: bit 4 * i + j for row i, column j.
void write_p(vec4 p[4], uint seen) {
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    [[unroll]] for (uint i = 0; i < 4; ++i) p_s[(4 * thread_n() + j) * kRow + 4 * thread_m() + i] = p[i][j];
    seen_s[4 * thread_n() + j][thread_m()] = (seen >> j & 1) | (seen >> (4 + j) & 1) << 1 | (seen >> (8 + j) & 1) << 2 | (seen >> (12 + j) & 1) << 3;
  }
}

// Over the 16 threads of each row, in their order; every thread gets the result.
vec4 row_max(vec4 x) {
  barrier();  // a_s is free
  [[unroll]] for (uint i = 0; i < 4; ++i) a_s[thread_n() * kRow + 4 * thread_m() + i] = x[i];
  barrier();
  x = load_vec4(a_s, 0, thread_m());
  for (uint i = 1; i < 16; ++i) x = max(x, load_vec4(a_s, i, thread_m()));
  return x;
}
vec4 row_sum(vec4 x) {
  barrier();
  [[unroll]] for (uint i = 0; i < 4; ++i) a_s[thread_n() * kRow + 4 * thread_m() + i] = x[i];
  barrier();
  x = load_vec4(a_s, 0, thread_m());
  for (uint i = 1; i < 16; ++i) x += load_vec4(a_s, i, thread_m());
  return x;
}

// Elements e.. of a row of results that begins at `at`.
void write_vec4(OutReal to, uint at, uint e, vec4 values) {
  [[unroll]] for (uint j = 0; j < 4; ++j)
    if (e + j < kWidth) OutF32(uvec2(to)).at[at + e + j] = values[j];
}
