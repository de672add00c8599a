#version 460
// main() of loss_logits_*.comp on CPU drivers. A subgroup loops over the tiles of its vocab block; each lane keeps the
// running state of every row over its columns, and the lanes are combined only at the end of the vocab block: a subgroup
// operation costs such a driver as much as hundreds of multiplications.
//
// The condition on a tile's row creates a basic block that the compiler does not move arithmetic out of. Without it
// lavapipe's compiler interleaves all rows, and two thirds of the instructions spill and reload registers.
//
// kernel loss_logits_cpu
// kernel loss_logits_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#ifdef LOAD64
const uint kLayout = 1;  // NT
const bool kOddA = false, kOddB = false;
#include "shaders/matmul/matmul_cpu_load64.glsl"
#else
#include "shaders/matmul/matmul_cpu_load32.glsl"
#endif
#include "shaders/loss/loss_logits.glsl"

float m[kRows], s[kRows], total[kRows];
uint best[kRows];

// Without a softcap one test suffices for all logits of a lane: their sum is finite if each of them is.
float checked(float top, float logits[kCols]) {
  if (kSoftcap != 0) return top;  // capped() has tested each
  float all = logits[0];
  [[unroll]] for (uint j = 1; j < kCols; ++j) all += logits[j];
  return is_finite(all) ? top : uintBitsToFloat(kInfinity);
}

// Merges the logits of a lane into its state of row i; columns from `cols` on are ignored. Either the largest of them
// or the previous maximum is the new maximum, whose exponential is 1: kCols exponentials suffice for kCols + 1 terms.
void take(uint i, uint col0, uint cols, float logits[kCols], float z[kCols]) {
  float top = z[0], rest[kCols];
  uint top_col = col0 + lane_column(0) < cols ? col0 + lane_column(0) : kNoRow;
  [[unroll]] for (uint j = 1; j < kCols; ++j) {
    const bool is_better = z[j] > top;
    rest[j] = is_better ? top : z[j];
    top = is_better ? z[j] : top;
    top_col = is_better ? col0 + lane_column(j) : top_col;
  }
  top = checked(top, logits);
  const bool is_new = top > m[i];
  best[i] = is_new || best[i] == kNoRow ? top_col : best[i];
  const float m_new = is_new ? top : m[i], other = exp((is_new ? m[i] : top) - m_new);
  s[i] = is_new ? s[i] * other + 1.0 : s[i] + other;
  [[unroll]] for (uint j = 1; j < kCols; ++j) s[i] += exp(rest[j] - m_new);  // a lane without columns has no effect below
  m[i] = m_new;
}

void main() {
  Operands o = operands();
  const uvec2 tile = vocab_block_of_group(kRows);
  const uint row0 = tile.x * kRows, vocab_block = tile.y;
  if (row0 >= o.rows || vocab_block * kVocabBlock >= o.cols) return;

  uint targets[kRowRegisters];
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) targets[g] = target_of(row_of_lane(row0, g, o.rows));
  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    m[i] = kLowest;
    s[i] = total[i] = 0.0;
    best[i] = kNoRow;
  }
  const uint end = min((vocab_block + 1) * kVocabBlock, o.cols);
  for (uint col0 = vocab_block * kVocabBlock; col0 < end; col0 += kTileCols) {
    multiply(o, row0, col0);
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      const uint row = row0 + i, target = of_row(targets, i) - col0;  // wraps when it lies before
      if (row < o.rows) {
        float logits[kCols], z[kCols];
        [[unroll]] for (uint j = 0; j < kCols; ++j) {
          logits[j] = args.alpha * sum[i][j];
          z[j] = col0 + lane_column(j) >= o.cols ? kLowest : kSoftcap == 0 ? logits[j] : capped(logits[j], args.softcap);
          if (kTotal) total[i] += col0 + lane_column(j) < o.cols ? z[j] : 0.0;
        }
        if (kKeep) {  // columns beyond the last are in the gap between rows
          [[unroll]] for (uint j = 0; j < kCols; j += kNeighbours)
            if (col0 + lane_column(j) < o.cols) write_neighbours(args.logits, row * args.logits_stride + col0 + lane_column(j), logits, j);
        }
        take(i, col0, o.cols, logits, z);
        if (target < kTileCols && target < end - col0 && lane_of(target) == gl_SubgroupInvocationID) {
          float at_target = z[0];
          [[unroll]] for (uint j = 1; j < kCols; ++j) at_target = lane_column(j) == target ? z[j] : at_target;
          args.state.at[row * kRowState + kRowTarget] = at_target;
        }
      }
    }
  }

  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    const uint row = row0 + i;
    if (row >= o.rows) break;
    const float row_max = subgroupMax(m[i]);
    const uint row_best = subgroupMin(m[i] == row_max ? best[i] : kNoRow);
    const float row_sum = subgroupAdd(s[i] * exp(m[i] - row_max));
    const float row_total = kTotal ? subgroupAdd(total[i]) : 0.0;
    if (subgroupElect()) write_vocab_block(row, vocab_block, row_max, row_sum, row_total, row_best);
  }
}
