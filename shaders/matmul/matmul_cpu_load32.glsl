// multiply() with 32-bit loads and any strides (NN, NT and TN). Lane l has columns l, l + kSubgroup, ...
// of the tile; a block is kSubgroup steps of K.
#include "shaders/matmul/matmul_cpu.glsl"

float sum[kRows][kCols];

// The column, within the tile, of a lane's accumulator j.
uint lane_column(uint j) { return gl_SubgroupInvocationID + j * kSubgroup; }
uint lane_of(uint column) { return column % kSubgroup; }

const uint kNeighbours = 1;
void write_neighbours(OutF32 to, uint at, float values[kCols], uint j) { to.at[at] = values[j]; }

void multiply(Operands o, uint row0, uint col0) {
  // Rows and columns beyond the edge read the last one; their sums are not used.
  uint starts[kRowRegisters], a_at[kRows];
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) starts[g] = a_row_start(row_of_lane(row0, g, o.rows));
  [[unroll]] for (uint i = 0; i < kRows; ++i) a_at[i] = of_row(starts, i);
  uint b_at[kCols];
  [[unroll]] for (uint j = 0; j < kCols; ++j) b_at[j] = min(col0 + lane_column(j), o.cols - 1) * o.b_col;
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] = 0.0;

  const uint whole = o.depth / kSubgroup * kSubgroup;
  for (uint k0 = 0; k0 < whole; k0 += kSubgroup) {
    float b[kSubgroup][kCols];
    [[unroll]] for (uint k = 0; k < kSubgroup; ++k)
      [[unroll]] for (uint j = 0; j < kCols; ++j) b[k][j] = o.b.at[(k0 + k) * o.b_depth + b_at[j]];
    const uint a_k = (k0 + gl_SubgroupInvocationID) * o.a_depth;
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      const float a = o.a.at[a_at[i] + a_k];
      [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
        const float a_ik = subgroupBroadcast(a, k);
        [[unroll]] for (uint j = 0; j < kCols; ++j) sum[i][j] += a_ik * b[k][j];
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
