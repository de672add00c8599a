// multiply() with 64-bit loads of two adjacent floats: half the scattered loads of matmul_cpu_load32.glsl, which are
// its bottleneck: tiles of 32 rows and 2 columns per lane spent half their time in them on lavapipe. Tall and wide
// tiles use each load for more multiplications. Lane l has columns kCols * l and the following ones; a block is
// kSubgroup steps of K.
//
// At 8 lanes without AVX-512 the size of a block's code decides: a load is eight tests, branches and insertions, some 200
// bytes, and code beyond the instruction cache (32 KiB) is slow. 32 rows and 4 columns in blocks of 8 steps are 32 KiB; 48
// rows reach 0.6 of their rate, and so did 64 rows in blocks of 16. Loads take 64-bit addresses, computed once for each
// lane, so that the next one costs two additions; from an index it takes nine instructions.
//
// All of a block's a is read before the first multiplication, and kept in memory, from where a broadcast is one load
// (load64.glsl). At 8 lanes a masked load is a chain of eight branches; otherwise LLVM would move multiplications past
// them and spill each. At 16 lanes (AVX-512) the two shuffles of a broadcast from a register compete for the multiply
// units. Four rows share each value of b in a register; two at 8 lanes, which have half as many registers.
//
// With an odd row stride (kOddA, kOddB), every other row starts in the middle of a pair. Its pairs begin one element
// earlier; they contain all but the last element that a lane or a block needs, which is read by a 32-bit load. For a,
// whose elements are broadcast, one such load serves kSpan rows, or kSubgroup steps of one row. Scattered loads of a
// block at 64 rows, 4 columns and 16 lanes: 64 if both strides are even, else NN 74, NT 68, TN 74.
//
// Include after constants kLayout (0 is NN, 1 is NT, 2 is TN), kOddA and kOddB. Needs 64-bit integers; a and b 8-byte
// aligned. A pair may extend one element beyond the rows (TN) or columns (NN, TN), also at the last step of K, if they
// are fewer than the stride between steps. kRows: a multiple of 4, and of kSpan where it is larger; kCols: even;
// kSubgroup: a multiple of 4.
#include "shaders/common/load64.glsl"
#include "shaders/matmul/matmul_cpu.glsl"

const uint kNN = 0, kNT = 1, kTN = 2;
const uint kBlock = kSubgroup;
const uint kTogether = kSubgroup <= 8 && kCols >= 4 ? 2 : 4;  // rows that share each value of b while it is in a register
const uint kSpan = 2 * kSubgroup;  // elements of a that one load gives
const uint kSpans = (kRows + kSpan - 1) / kSpan;

float sum[kRows][kCols];
float b[kBlock][kCols];  // of the current block

uint lane_column(uint j) { return kCols * gl_SubgroupInvocationID + j; }
uint lane_of(uint column) { return column / kCols; }

const uint kNeighbours = 2;
void write_neighbours(OutF32 to, uint at, float values[kCols], uint j) { store_f32x2(OutF32x2(to), at, vec2(values[j], values[j + 1])); }

uint even(uint index) { return index & ~1u; }
// An even element index in a row of `count`, or beyond the edge one that may be read. With an odd stride and an even
// count that is the one after the row's end: at even steps two elements of the next row, which exists (a block has an
// even number of steps), at odd steps one element of the gap between the rows.
uint within(uint index, uint count, bool odd) { return min(index, even(odd ? count : count - 1)); }

// The address of element `index` of x, and the distance in bytes to the pair of step `k` in rows with this stride.
uint64_t address(InF32 x, uint index) { return pack64(uvec2(x)) + 4ul * index; }
uint64_t steps_away(uint k, uint stride) { return 4ul * even(k * stride); }

// The kBlock steps of K from k0 on of a lane's columns.
void load_b(Operands o, uint k0, uint b_at[kCols], uint64_t b_pairs[kCols]) {
  const uint64_t block = 4ul * (k0 * (kLayout == kNT ? 1 : o.b_depth));
  if (kLayout == kNT) {
    // One column at a time: a gather touches one cache line per lane, and the next steps of K hit these lines.
    [[unroll]] for (uint j = 0; j < kCols; ++j) {
      const uint64_t from = b_pairs[j] + block;
      const uint early = kOddB ? j % 2 : 0;
      [[unroll]] for (uint k = 0; k < kBlock; k += 2) {
        const vec2 steps = load_f32x2(from + 4ul * k);
        if (k >= early) b[k - early][j] = steps.x;
        b[k + 1 - early][j] = steps.y;
      }
      if (early == 1) b[kBlock - 1][j] = o.b.at[b_at[j] + k0 + kBlock - 1];
    }
  } else {
    uint64_t from[kCols];
    [[unroll]] for (uint j = 0; j < kCols; j += 2) from[j] = b_pairs[j] + block;
    [[unroll]] for (uint k = 0; k < kBlock; ++k) {
      const uint early = kOddB ? k % 2 : 0;
      [[unroll]] for (uint j = 0; j < kCols; j += 2) {
        const vec2 columns = load_f32x2(from[j] + steps_away(k, o.b_depth));
        if (j >= early) b[k][j - early] = columns.x;
        b[k][j + 1 - early] = columns.y;
      }
      if (early == 1) b[k][kCols - 1] = o.b.at[(k0 + k) * o.b_depth + b_at[kCols - 1]];
    }
  }
}

void add_products(uint row, uint k, float a) {
  [[unroll]] for (uint j = 0; j < kCols; ++j) sum[row][j] += a * b[k][j];
}

// Elements of a that pairs do not contain with an odd stride. Transposed a: the last row of each span; steps of
// consecutive spans, in consecutive lanes. Otherwise: the last step of odd rows; lane l has that of row 2l+1 of a span.
const uint kLasts = kLayout == kTN ? (kSpans * kBlock + kSubgroup - 1) / kSubgroup : kSpans;

// A block of a transposed a. Lane l has rows 2l and 2l+1 of a span, or 2l-1 and 2l.
const uint kSpanRows = kSpan < kRows ? kSpan : kRows;
void add_block_transposed(Operands o, uint k0, uint64_t a_span[kSpans], uint a_last[kLasts]) {
  const uint lane = gl_SubgroupInvocationID;
  const uint64_t block = 4ul * (k0 * o.a_depth);
  float a[kSpans * kBlock * 2], last[kLasts];
  [[unroll]] for (uint s = 0; s < kSpans; ++s)
    [[unroll]] for (uint k = 0; k < kBlock; ++k) {
      const vec2 rows = load_f32x2(a_span[s] + block + steps_away(k, o.a_depth));
      a[(s * kBlock + k) * 2] = rows.x;
      a[(s * kBlock + k) * 2 + 1] = rows.y;
    }
  [[unroll]] for (uint m = 0; m < kLasts; ++m)
    last[m] = kOddA && kRows >= kSpan ? o.a.at[(k0 + (m * kSubgroup + lane) % kBlock) * o.a_depth + a_last[m]] : 0.0;
  leave_in_memory(a, o.rows == 0, o.cols);
  [[unroll]] for (uint i = 0; i < kSpans * kSpanRows; i += kTogether)
    [[unroll]] for (uint k = 0; k < kBlock; ++k)
      [[unroll]] for (uint r = 0; r < kTogether; ++r) {
        const uint step = (i + r) / kSpan * kBlock + k, at = (i + r) % kSpan + (kOddA ? k % 2 : 0);
        add_products(i + r, k, at == kSpan ? subgroupBroadcast(last[step / kSubgroup], step % kSubgroup)
                                           : subgroupBroadcast(a[step * 2 + at % 2], at % kSpan / 2));
      }
}

// The same for an a that is not transposed: a load reads the block's steps of kRowsOfLoad rows, two per lane, row by
// row.
const uint kLanesOfRow = kBlock / 2;
const uint kRowsOfLoad = kSubgroup / kLanesOfRow;
const uint kLoads = kRows / kRowsOfLoad;
void add_block(Operands o, uint k0, uint64_t a_at[kLoads], uint a_last[kLasts]) {
  const uint64_t block = 4ul * k0;
  float a[kLoads * 2], last[kLasts];
  [[unroll]] for (uint load = 0; load < kLoads; ++load) {
    const vec2 steps = load_f32x2(a_at[load] + block);
    a[load * 2] = steps.x;
    a[load * 2 + 1] = steps.y;
  }
  [[unroll]] for (uint s = 0; s < kLasts; ++s) last[s] = kOddA ? o.a.at[a_last[s] + k0 + kBlock - 1] : 0.0;
  leave_in_memory(a, o.rows == 0, o.cols);
  [[unroll]] for (uint i = 0; i < kRows; i += kTogether)
    [[unroll]] for (uint k = 0; k < kBlock; ++k)
      [[unroll]] for (uint r = 0; r < kTogether; ++r) {
        const uint row = i + r, at = k + (kOddA ? row % 2 : 0);
        add_products(row, k, at == kBlock ? subgroupBroadcast(last[row / kSpan], row % kSpan / 2)
                                          : subgroupBroadcast(a[row / kRowsOfLoad * 2 + at % 2], at / 2 + row % kRowsOfLoad * kLanesOfRow));
      }
}

// One step of K.
void add_step(Operands o, uint k, uint starts[kRowRegisters], uint col0) {
  float a[kRowRegisters];
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) a[g] = o.a.at[starts[g] + k * o.a_depth];
  [[unroll]] for (uint j = 0; j < kCols; ++j) b[0][j] = o.b.at[k * o.b_depth + min(col0 + lane_column(j), o.cols - 1) * o.b_col];
  [[unroll]] for (uint i = 0; i < kRows; ++i) add_products(i, 0, of_row(a, i));
}

void multiply(Operands o, uint row0, uint col0) {
  const uint lane = gl_SubgroupInvocationID;
  // Rows and columns beyond the edge read the last ones; their sums are not used.
  uint starts[kRowRegisters], a_last[kLasts];
  uint64_t a_at[kLoads], a_span[kSpans];
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) starts[g] = a_row_start(row_of_lane(row0, g, o.rows));
  [[unroll]] for (uint load = 0; load < kLoads; ++load)
    a_at[load] = address(o.a, even(a_row_start(min(row0 + load * kRowsOfLoad + lane / kLanesOfRow, o.rows - 1)) + lane % kLanesOfRow * 2));
  [[unroll]] for (uint s = 0; s < kSpans; ++s) a_span[s] = address(o.a, a_row_start(within(row0 + s * kSpan + 2 * lane, o.rows, kOddA)));
  [[unroll]] for (uint m = 0; m < kLasts; ++m) {
    const uint row = kLayout == kTN ? ((m * kSubgroup + lane) / kBlock + 1) * kSpan - 1 : m * kSpan + 2 * lane + 1;
    a_last[m] = a_row_start(min(row0 + row, o.rows - 1));
  }
  uint b_at[kCols];
  uint64_t b_pairs[kCols];
  [[unroll]] for (uint j = 0; j < kCols; ++j) {
    const uint col = col0 + lane_column(j);
    b_at[j] = kLayout == kNT ? min(col, o.cols - 1) * o.b_col : j % 2 == 0 ? within(col, o.cols, kOddB) : min(col, o.cols - 1);
    b_pairs[j] = address(o.b, even(b_at[j]));
  }
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] = 0.0;

  const uint whole = o.depth / kBlock * kBlock;
  for (uint k0 = 0; k0 < whole; k0 += kBlock) {
    load_b(o, k0, b_at, b_pairs);
    if (kLayout == kTN) add_block_transposed(o, k0, a_span, a_last);
    else add_block(o, k0, a_at, a_last);
  }
  for (uint k = whole; k < o.depth; ++k) add_step(o, k, starts, col0);
}
