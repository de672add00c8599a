// multiply() reading two neighbouring floats with one 64-bit load: half the scattered reads of matmul_scalar_words.glsl, which
// are what it waits for: tiles of 32 rows and 2 columns a lane spent half their time in them on lavapipe. Tall and wide tiles make each
// of them count for more products. Lane l has columns kCols * l and those that follow; a block is 16 steps of K at 8
// and at 16 lanes, a line of the cache of a row of a.
//
// At 16 lanes (AVX-512) four rows share each value of b while it is in a register. At 8 lanes there are half as many registers,
// for two rows, and a masked load is a ladder of eight branches, past which LLVM moves products until each of them goes through memory. There all of a
// is read before the first product, and left in memory (pairs.glsl).
//
// Where rows lie an odd number of elements apart (kOddA, kOddB), every other row starts in the middle of a pair. Its pairs are those that
// begin one element earlier; they give all but the last element that a lane or a block wants, which is read as a word: of a, where
// broadcasts hand elements round, one such read serves kSpan rows, or kSubgroup steps of one. Scattered reads of a block at 64 rows, 4 columns and 16 lanes, 64
// where both are even: NN 74, NT 68, TN 74.
//
// Include after constants kLayout (0 is NN, 1 is NT, 2 is TN), kOddA and kOddB. Needs 64-bit integers; a and b 8-byte aligned. A pair
// may reach one element beyond the rows (TN) or columns (NN, TN), of the last step of K too, wherever there are fewer of them than elements
// from step to step. kRows: a multiple of 4, and of kSpan where it is larger; kCols: even; kSubgroup: a multiple of 4.
#include "shaders/pairs.glsl"
#include "shaders/matmul_scalar.glsl"

const uint kNN = 0, kNT = 1, kTN = 2;
const bool kAllAhead = kSubgroup <= 8;  // all of a is read before the first product
const uint kBlock = kAllAhead ? 2 * kSubgroup : kSubgroup;
const uint kTogether = kAllAhead && kCols >= 4 ? 2 : 4;  // rows that share each value of b while it is in a register
const uint kSpan = 2 * kSubgroup;  // elements of a that one load gives
const uint kSpans = (kRows + kSpan - 1) / kSpan;

float sum[kRows][kCols];
float b[kBlock][kCols];  // of the block at hand

uint lane_column(uint j) { return kCols * gl_SubgroupInvocationID + j; }
uint lane_of(uint column) { return column / kCols; }

const uint kNeighbours = 2;
void write_neighbours(OutF32 to, uint at, float values[kCols], uint j) { write_pair(OutPairs(to), at, vec2(values[j], values[j + 1])); }

uint even(uint index) { return index & ~1u; }
// Of an even element in a row of `count`: itself, or beyond the edge one that may be read. In rows an odd number apart, with an even count,
// that is the one behind the row's end: at even steps two elements of the next row, which is there (a block has an even number of steps), at
// odd ones one of the gap between the rows.
uint within(uint index, uint count, bool odd) { return min(index, even(odd ? count : count - 1)); }

// The kBlock steps of K from k0 on of a lane's columns.
void load_b(Operands o, uint k0, uint b_at[kCols]) {
  InPairs pairs = InPairs(o.b);
  if (kLayout == kNT) {
    // A column at a time: a gather touches a line of memory of each lane, which the next steps of K find in the cache.
    [[unroll]] for (uint j = 0; j < kCols; ++j) {
      const uint early = kOddB ? j % 2 : 0;
      [[unroll]] for (uint k = 0; k < kBlock; k += 2) {
        const vec2 steps = pair(pairs, b_at[j] + k0 + k);
        if (k >= early) b[k - early][j] = steps.x;
        b[k + 1 - early][j] = steps.y;
      }
      if (early == 1) b[kBlock - 1][j] = o.b.at[b_at[j] + k0 + kBlock - 1];
    }
  } else {
    [[unroll]] for (uint k = 0; k < kBlock; ++k) {
      const uint row = (k0 + k) * o.b_depth, early = kOddB ? k % 2 : 0;
      [[unroll]] for (uint j = 0; j < kCols; j += 2) {
        const vec2 columns = pair(pairs, row + b_at[j]);
        if (j >= early) b[k][j - early] = columns.x;
        b[k][j + 1 - early] = columns.y;
      }
      if (early == 1) b[k][kCols - 1] = o.b.at[row + b_at[kCols - 1]];
    }
  }
}

void add_products(uint row, uint k, float a) {
  [[unroll]] for (uint j = 0; j < kCols; ++j) sum[row][j] += a * b[k][j];
}

// A block of a transposed a. Lane l has rows 2l and 2l+1 of a span, or 2l-1 and 2l.
const uint kSpansAhead = kAllAhead ? kSpans : 1;
const uint kSpanRows = kSpan < kRows ? kSpan : kRows;
const uint kLasts = kBlock / kSubgroup;
void add_block_transposed(Operands o, uint k0, uint a_span[kSpans], uint a_last[kSpans]) {
  InPairs pairs = InPairs(o.a);
  [[unroll]] for (uint s0 = 0; s0 < kSpans; s0 += kSpansAhead) {
    float a[kSpansAhead * kBlock * 2];
    float last[kSpansAhead * kLasts];  // the last row of the span, lane l has steps l, l + kSubgroup, ...
    [[unroll]] for (uint s = 0; s < kSpansAhead; ++s) {
      [[unroll]] for (uint k = 0; k < kBlock; ++k) {
        const vec2 rows = pair(pairs, (k0 + k) * o.a_depth + a_span[s0 + s]);
        a[(s * kBlock + k) * 2] = rows.x;
        a[(s * kBlock + k) * 2 + 1] = rows.y;
      }
      [[unroll]] for (uint m = 0; m < kLasts; ++m)
        last[s * kLasts + m] = kOddA && kRows >= kSpan ? o.a.at[(k0 + m * kSubgroup + gl_SubgroupInvocationID) * o.a_depth + a_last[s0 + s]] : 0.0;
    }
    leave_in_memory(a, o.rows == 0, o.cols);
    [[unroll]] for (uint i = 0; i < kSpansAhead * kSpanRows; i += kTogether)
      [[unroll]] for (uint k = 0; k < kBlock; ++k)
        [[unroll]] for (uint r = 0; r < kTogether; ++r) {
          const uint s = (i + r) / kSpan, at = (i + r) % kSpan + (kOddA ? k % 2 : 0);
          add_products(s0 * kSpan + i + r, k, at == kSpan ? subgroupBroadcast(last[s * kLasts + k / kSubgroup], k % kSubgroup)
                                                          : subgroupBroadcast(a[(s * kBlock + k) * 2 + at % 2], at % kSpan / 2));
        }
  }
}

// The same of one that is not: lanes have two steps each, of the rows of a load in turn.
const uint kRowsAhead = kAllAhead ? kRows : kTogether;
const uint kRowsOfLoad = kSpan / kBlock;
void add_block(Operands o, uint k0, uint a_at[kRows], uint a_last[kSpans]) {
  const uint lane = gl_SubgroupInvocationID;
  InPairs pairs = InPairs(o.a);
  float last[kSpans];  // the last step of odd rows, lane l has that of row 2l+1 of a span
  [[unroll]] for (uint s = 0; s < kSpans; ++s) last[s] = kOddA ? o.a.at[a_last[s] + k0 + kBlock - 1] : 0.0;
  [[unroll]] for (uint i0 = 0; i0 < kRows; i0 += kRowsAhead) {
    float a[kRowsAhead / kRowsOfLoad * 2];
    [[unroll]] for (uint r = 0; r < kRowsAhead; r += kRowsOfLoad) {
      const vec2 steps = pair(pairs, k0 + 2 * lane + (lane < kBlock / 2 ? a_at[i0 + r] : a_at[i0 + r + kRowsOfLoad - 1] - kBlock));
      a[r / kRowsOfLoad * 2] = steps.x;
      a[r / kRowsOfLoad * 2 + 1] = steps.y;
    }
    leave_in_memory(a, o.rows == 0, o.cols);
    [[unroll]] for (uint i = 0; i < kRowsAhead; i += kTogether)
      [[unroll]] for (uint k = 0; k < kBlock; ++k)
        [[unroll]] for (uint r = 0; r < kTogether; ++r) {
          const uint row = i0 + i + r, at = k + (kOddA ? row % 2 : 0);
          add_products(row, k, at == kBlock ? subgroupBroadcast(last[row / kSpan], row % kSpan / 2)
                                            : subgroupBroadcast(a[(i + r) / kRowsOfLoad * 2 + at % 2], at % kBlock / 2 + row % kRowsOfLoad * (kBlock / 2)));
        }
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
  // Rows and columns beyond the edge read the last ones; nobody uses their sums.
  uint starts[kRowRegisters], a_at[kRows], a_span[kSpans], a_last[kSpans];
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) starts[g] = a_row_start(row_of_lane(row0, g, o.rows));
  [[unroll]] for (uint i = 0; i < kRows; ++i) a_at[i] = of_row(starts, i);
  [[unroll]] for (uint s = 0; s < kSpans; ++s) {
    a_span[s] = a_row_start(within(row0 + s * kSpan + 2 * lane, o.rows, kOddA));
    a_last[s] = a_row_start(min(row0 + s * kSpan + (kLayout == kTN ? kSpan - 1 : 2 * lane + 1), o.rows - 1));
  }
  uint b_at[kCols];
  [[unroll]] for (uint j = 0; j < kCols; ++j) {
    const uint col = col0 + lane_column(j);
    b_at[j] = kLayout == kNT ? min(col, o.cols - 1) * o.b_col : j % 2 == 0 ? within(col, o.cols, kOddB) : min(col, o.cols - 1);
  }
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] = 0.0;

  const uint whole = o.depth / kBlock * kBlock;
  for (uint k0 = 0; k0 < whole; k0 += kBlock) {
    load_b(o, k0, b_at);
    if (kLayout == kTN) add_block_transposed(o, k0, a_span, a_last);
    else add_block(o, k0, a_at, a_last);
  }
  for (uint k = whole; k < o.depth; ++k) add_step(o, k, starts, col0);
}
