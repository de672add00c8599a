// multiply() reading two neighbouring floats with one 64-bit load: half the scattered reads of matmul_scalar_words.glsl, which
// are what it waits for: tiles of 32 rows and 2 columns a lane spent half their time in them on lavapipe. Tall and wide tiles make each
// of them count for more products. Lane l has columns kCols * l and those that follow; a block is kSubgroup steps of K, as
// long as its instructions fit into the first cache.
//
// Where rows lie an odd number of elements apart (kOddA, kOddB), every other row starts in the middle of a pair. Its pairs are those that
// begin one element earlier; they give all but the last element that a lane or a block wants, which is read as a word: of a, where
// broadcasts hand elements round, one such read serves kSpan rows. Scattered reads of a block at 64 rows, 4 columns and 16 lanes, 64
// where both are even: NN 74, NT 68, TN 74.
//
// Include after constants kLayout (0 is NN, 1 is NT, 2 is TN), kOddA and kOddB. Needs 64-bit integers; a and b 8-byte aligned. A pair
// may reach one element beyond an odd number of rows (TN) or columns (NN, TN) that lie an even number of elements apart: that number is the
// larger one then. kRows: a multiple of 4; kCols: even; kSubgroup: a multiple of 4.
#include "shaders/pairs.glsl"
#include "shaders/matmul_scalar.glsl"

const uint kNN = 0, kNT = 1, kTN = 2;
const uint kBlock = kSubgroup;
const uint kTogether = 4;  // rows that share each value of b while it is in a register
const uint kSpan = 2 * kSubgroup;  // rows of a transposed a that one load gives
const uint kSpans = (kRows + kSpan - 1) / kSpan;

float sum[kRows][kCols];
float b[kBlock][kCols];  // of the block at hand

uint lane_column(uint j) { return kCols * gl_SubgroupInvocationID + j; }
uint lane_of(uint column) { return column / kCols; }

const uint kNeighbours = 2;
void write_neighbours(OutF32 to, uint at, float values[kCols], uint j) { write_pair(OutPairs(to), at, vec2(values[j], values[j + 1])); }

uint even(uint index) { return index & ~1u; }
// Of an even element in a row of `count`: itself, or beyond the edge one that may be read. In rows an odd number apart that may be the
// one behind the row's end: a block has an even number of steps, and after each that reads so far another row follows.
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
void add_block_transposed(Operands o, uint k0, uint a_span[kSpans], uint a_last[kSpans]) {
  InPairs pairs = InPairs(o.a);
  [[unroll]] for (uint row = 0; row < kRows; row += kSpan) {
    const uint s = row / kSpan;
    vec2 a[kBlock];
    [[unroll]] for (uint k = 0; k < kBlock; ++k) a[k] = pair(pairs, (k0 + k) * o.a_depth + a_span[s]);
    float last = 0.0;  // the last row of the span, lane l has step l
    if (kOddA && kRows >= kSpan) last = o.a.at[(k0 + gl_SubgroupInvocationID) * o.a_depth + a_last[s]];
    [[unroll]] for (uint i = 0; i < min(kSpan, kRows); i += kTogether) {
      [[unroll]] for (uint k = 0; k < kBlock; ++k) {
        [[unroll]] for (uint r = 0; r < kTogether; ++r) {
          const uint at = i + r + (kOddA ? k % 2 : 0);
          add_products(row + i + r, k, at == kSpan ? subgroupBroadcast(last, k) : subgroupBroadcast(a[k][at % 2], at % kSpan / 2));
        }
      }
    }
  }
}

// The same of one that is not. The lower half of the lanes has two steps each of a row, the upper half those of the next.
void add_block(Operands o, uint k0, uint a_at[kRows], uint a_last[kSpans]) {
  const uint lane = gl_SubgroupInvocationID;
  InPairs pairs = InPairs(o.a);
  float last[kSpans];  // the last step of odd rows, lane l has that of row 2l+1 of a span
  [[unroll]] for (uint s = 0; s < kSpans; ++s) last[s] = kOddA ? o.a.at[a_last[s] + k0 + kBlock - 1] : 0.0;
  [[unroll]] for (uint i = 0; i < kRows; i += kTogether) {
    vec2 a[kTogether / 2];
    [[unroll]] for (uint r = 0; r < kTogether; r += 2)
      a[r / 2] = pair(pairs, k0 + 2 * lane + (lane < kSubgroup / 2 ? a_at[i + r] : a_at[i + r + 1] - kBlock));
    [[unroll]] for (uint k = 0; k < kBlock; ++k) {
      [[unroll]] for (uint r = 0; r < kTogether; ++r) {
        const uint at = k + (kOddA ? r % 2 : 0);
        add_products(i + r, k, at == kBlock ? subgroupBroadcast(last[(i + r) / kSpan], (i + r) % kSpan / 2)
                                            : subgroupBroadcast(a[r / 2][at % 2], at % kBlock / 2 + r % 2 * (kSubgroup / 2)));
      }
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
