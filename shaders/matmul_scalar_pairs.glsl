// multiply() reading two neighbouring floats with one 64-bit load: half the scattered reads of matmul_scalar_words.glsl, which
// are what it waits for: tiles of 32 rows and 2 columns a lane spent half their time in them on lavapipe. Tall and wide tiles make each
// of them count for more products. Lane l has columns kCols * l and those that follow; a block is kSubgroup steps of K, as
// long as its instructions fit into the first cache.
//
// Include after a constant kLayout: 0 is NN, 1 is NT, 2 is TN. Needs 64-bit integers; a and b 8-byte aligned; an even number
// of elements between rows of a and of b. A pair may reach one element beyond an odd number of rows (TN) or columns (NN, TN):
// there the stride must be larger than that number. kRows: a multiple of 4; kCols: even; kSubgroup: a multiple of 4.
#include "shaders/pairs.glsl"
#include "shaders/matmul_scalar.glsl"

const uint kNN = 0, kNT = 1, kTN = 2;
const uint kBlock = kSubgroup;
const uint kTogether = 4;  // rows that share each value of b while it is in a register
const uint kSpan = 2 * kSubgroup;  // rows of a transposed a that one load gives

uint even(uint index) { return index & ~1u; }

float sum[kRows][kCols];

uint lane_column(uint j) { return kCols * gl_SubgroupInvocationID + j; }
uint lane_of(uint column) { return column / kCols; }

const uint kNeighbours = 2;
void write_neighbours(OutF32 to, uint at, float values[kCols], uint j) { write_pair(OutPairs(to), at, vec2(values[j], values[j + 1])); }

void multiply(Operands o, uint row0, uint col0) {
  const uint lane = gl_SubgroupInvocationID;
  InPairs a_pairs = InPairs(o.a), b_pairs = InPairs(o.b);
  // Rows and columns beyond the edge read the last ones; nobody uses their sums.
  uint a_at[kRows], a_span[(kRows + kSpan - 1) / kSpan];
  [[unroll]] for (uint i = 0; i < kRows; ++i) a_at[i] = a_row_start(min(row0 + i, o.rows - 1));
  [[unroll]] for (uint i = 0; i < kRows; i += kSpan) a_span[i / kSpan] = a_row_start(min(even(row0 + i) + 2 * lane, even(o.rows - 1)));
  uint b_at[kCols];
  [[unroll]] for (uint j = 0; j < kCols; j += 2) {
    const uint first = col0 + lane_column(j);
    b_at[j] = kLayout == kNT ? min(first, o.cols - 1) * o.b_col : min(first, even(o.cols - 1));
    b_at[j + 1] = kLayout == kNT ? min(first + 1, o.cols - 1) * o.b_col : b_at[j] + 1;
  }
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] = 0.0;

  const uint whole = o.depth / kBlock * kBlock;
  for (uint k0 = 0; k0 < whole; k0 += kBlock) {
    float b[kBlock][kCols];
    if (kLayout == kNT) {
      // A column at a time: a gather touches a line of memory of each lane, which the next steps of K find in the cache.
      [[unroll]] for (uint j = 0; j < kCols; ++j) {
        [[unroll]] for (uint k = 0; k < kBlock; k += 2) {
          const vec2 steps = pair(b_pairs, b_at[j] + k0 + k);
          b[k][j] = steps.x, b[k + 1][j] = steps.y;
        }
      }
    } else {
      [[unroll]] for (uint k = 0; k < kBlock; ++k) {
        [[unroll]] for (uint j = 0; j < kCols; j += 2) {
          const vec2 columns = pair(b_pairs, (k0 + k) * o.b_depth + b_at[j]);
          b[k][j] = columns.x, b[k][j + 1] = columns.y;
        }
      }
    }
    if (kLayout == kTN) {
      // Lane l has rows 2l and 2l+1 of a span.
      [[unroll]] for (uint row = 0; row < kRows; row += kSpan) {
        vec2 a[kBlock];
        [[unroll]] for (uint k = 0; k < kBlock; ++k) a[k] = pair(a_pairs, (k0 + k) * o.a_depth + a_span[row / kSpan]);
        [[unroll]] for (uint i = 0; i < min(kSpan, kRows); i += kTogether) {
          [[unroll]] for (uint k = 0; k < kBlock; ++k) {
            [[unroll]] for (uint r = 0; r < kTogether; ++r) {
              const float a_ik = subgroupBroadcast(a[k][r % 2], (i + r) / 2);
              [[unroll]] for (uint j = 0; j < kCols; ++j) sum[row + i + r][j] += a_ik * b[k][j];
            }
          }
        }
      }
    } else {
      // The lower half of the lanes has two steps each of a row, the upper half those of the next.
      [[unroll]] for (uint i = 0; i < kRows; i += kTogether) {
        vec2 a[kTogether / 2];
        [[unroll]] for (uint r = 0; r < kTogether; r += 2)
          a[r / 2] = pair(a_pairs, k0 + 2 * lane + (lane < kSubgroup / 2 ? a_at[i + r] : a_at[i + r + 1] - kBlock));
        [[unroll]] for (uint k = 0; k < kBlock; ++k) {
          [[unroll]] for (uint r = 0; r < kTogether; ++r) {
            const float a_ik = subgroupBroadcast(a[r / 2][k % 2], k / 2 + r % 2 * (kSubgroup / 2));
            [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i + r][j] += a_ik * b[k][j];
          }
        }
      }
    }
  }
  for (uint k = whole; k < o.depth; ++k) {
    [[unroll]] for (uint j = 0; j < kCols; ++j) {
      const float b = o.b.at[k * o.b_depth + b_at[j]];
      [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i][j] += o.a.at[a_at[i] + k * o.a_depth] * b;
    }
  }
}
