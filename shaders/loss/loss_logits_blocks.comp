#version 460
// Logits and their online log-sum-exp from a tile in blocks. A workgroup's vocab block is its tile. Shared memory holds one
// value per thread and row at a time; the first kRows threads combine the values of a row in a fixed order.
//
// Registers: maximum, sum, best and sum of logits of a thread's rows, 4 x 8 in the tile of 128. The fragments and
// staging registers of multiply() are free by then, so the maximum and the occupancy are those of the matmul, in waves
// of 32 and 64. Shared memory: the matmul's, else 8.9 KB for the tile of 128. One exp per 2D FLOPs of a logit; memory
// traffic 16 bytes per row and tile, and 4 per kept logit.
//
// kernel loss_logits_tiled: TILED
// kernel loss_logits_coopmat_f16: COOPMAT_F16
// kernel loss_logits_coopmat_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
const uint kContiguous = 3;  // x and w along D
#ifdef TILED
const bool kEvenRows = false;
#include "shaders/matmul/matmul_tiled.glsl"
#else
#include "shaders/common/operands.glsl"
#include "shaders/matmul/matmul_coopmat.glsl"
#endif
#include "shaders/loss/loss_logits.glsl"

#ifndef EXCHANGE
shared float exchange[kThreadsN * kPaddedRows];
shared float exchange_rows[kRows];
#define EXCHANGE exchange
#define EXCHANGE_ROWS exchange_rows
#endif

const uint kThreadRows = 4 * kBlocksR;
uint thread_row(uint i) { return block_row(i / 4) + i % 4; }

// Publishes values of the rows of each thread; then the threads below kRows may call combine_*() for row `thread`.
void publish(float values[kThreadRows]) {
  barrier();  // the values published before have been read
  [[unroll]] for (uint i = 0; i < kThreadRows; ++i) EXCHANGE[thread_n() * kPaddedRows + thread_row(i)] = values[i];
  barrier();
}
float combine_sum(uint row) {
  float value = EXCHANGE[row];
  for (uint i = 1; i < kThreadsN; ++i) value += EXCHANGE[i * kPaddedRows + row];
  return value;
}
float combine_max(uint row) {
  float value = EXCHANGE[row];
  for (uint i = 1; i < kThreadsN; ++i) value = max(value, EXCHANGE[i * kPaddedRows + row]);
  return value;
}
float combine_min(uint row) {
  float value = EXCHANGE[row];
  for (uint i = 1; i < kThreadsN; ++i) value = min(value, EXCHANGE[i * kPaddedRows + row]);
  return value;
}

void main() {
  Operands o = operands();
  const uvec2 tile = vocab_block_of_group(kRows);
  const uint row0 = tile.x * kRows, vocab_block = tile.y, col0 = vocab_block * kCols;
  if (row0 >= o.rows || col0 >= o.cols) return;
  multiply(o, row0, col0);

  // From sums to logits in place, and the largest of this thread in each row. Columns beyond the edge get kLowest.
  float m[kThreadRows], best[kThreadRows], s[kThreadRows], total[kThreadRows];
  [[unroll]] for (uint i = 0; i < kThreadRows; ++i) {
    const uint row = row0 + thread_row(i);
    const uint target = row < o.rows ? target_of(row) : o.cols;
    m[i] = kLowest;
    best[i] = -kLowest;
    total[i] = 0.0;
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j)
      [[unroll]] for (uint x = 0; x < 4; ++x) {
        const uint col = col0 + block_col(j) + x;
        const float logit = args.alpha * sum[i][j][x];
        const float z = capped(logit, args.softcap);
        sum[i][j][x] = col < o.cols ? z : kLowest;
        if (col < o.cols && row < o.rows) {
          if (kKeep) args.logits.at[row * args.logits_stride + col] = logit;
          if (z > m[i] || best[i] == -kLowest) {
            m[i] = max(m[i], z);
            best[i] = float(col);
          }
          if (kTotal) total[i] += z;
          if (col == target) args.state.at[row * kRowState + kRowTarget] = z;
        }
      }
  }

  const uint thread = gl_LocalInvocationIndex;
  publish(m);
  if (thread < kRows) EXCHANGE_ROWS[thread] = combine_max(thread);
  barrier();
  float row_max[kThreadRows];
  [[unroll]] for (uint i = 0; i < kThreadRows; ++i) {
    row_max[i] = EXCHANGE_ROWS[thread_row(i)];
    best[i] = m[i] == row_max[i] ? best[i] : -kLowest;
    s[i] = 0.0;
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j)
      [[unroll]] for (uint x = 0; x < 4; ++x)
        s[i] += col0 + block_col(j) + x < o.cols ? exp(sum[i][j][x] - row_max[i]) : 0.0;
  }
  float row_best = 0.0, row_sum = 0.0, row_total = 0.0;
  publish(best);
  if (thread < kRows) row_best = combine_min(thread);
  publish(s);
  if (thread < kRows) row_sum = combine_sum(thread);
  if (kTotal) {
    publish(total);
    if (thread < kRows) row_total = combine_sum(thread);
  }
  if (thread < kRows && row0 + thread < o.rows) write_vocab_block(row0 + thread, vocab_block, EXCHANGE_ROWS[thread], row_sum, row_total, uint(row_best));
}
