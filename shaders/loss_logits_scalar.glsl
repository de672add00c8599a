// main() of loss_logits_*.comp on CPU drivers. A subgroup goes through the tiles of its strip; each lane keeps the running
// state of every row over the columns it has seen, and only at the end of the strip the lanes are put together: a subgroup
// operation costs such a driver as much as hundreds of multiplications.
#include "shaders/loss_logits.glsl"

void main() {
  Operands o = operands();
  const uvec2 tile = strip_of_group(kRows);
  const uint row0 = tile.x * kRows, strip = tile.y;
  if (row0 >= o.rows || strip * kStrip >= o.cols) return;

  float m[kRows], s[kRows], total[kRows], target_z[kRows];
  uint best[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    m[i] = kLowest;
    s[i] = total[i] = target_z[i] = 0.0;
    best[i] = kNoRow;
  }
  const uint end = min((strip + 1) * kStrip, o.cols);
  for (uint col0 = strip * kStrip; col0 < end; col0 += kTileCols) {
    multiply(o, row0, col0);
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      const uint row = min(row0 + i, o.rows - 1), target = target_of(row);
      float logits[kCols], z[kCols];
      [[unroll]] for (uint j = 0; j < kCols; ++j) logits[j] = args.alpha * sum[i][j];
      if (kKeep && row0 + i < o.rows) {  // neighbours beyond the last column fall into the gap between rows
        [[unroll]] for (uint j = 0; j < kCols; j += kNeighbours)
          if (col0 + lane_column(j) < o.cols) write_neighbours(args.logits, row * args.logits_stride + col0 + lane_column(j), logits, j);
      }
      float top = kLowest;  // of this tile
      uint top_col = kNoRow;
      [[unroll]] for (uint j = 0; j < kCols; ++j) {
        const uint col = col0 + lane_column(j);
        z[j] = col < o.cols ? capped(logits[j], args.softcap) : kLowest;
        const bool is_better = j == 0 ? col < o.cols : z[j] > top;
        top_col = is_better ? col : top_col;
        top = is_better ? z[j] : top;
        target_z[i] = col == target ? z[j] : target_z[i];
        if (kTotal) total[i] += col < o.cols ? z[j] : 0.0;
      }
      best[i] = top > m[i] || best[i] == kNoRow ? top_col : best[i];
      const float m_new = max(m[i], top);
      s[i] *= exp(m[i] - m_new);
      [[unroll]] for (uint j = 0; j < kCols; ++j) s[i] += exp(z[j] - m_new);  // a lane without columns counts for nothing below
      m[i] = m_new;
    }
  }

  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    const uint row = row0 + i;
    if (row >= o.rows) break;
    const float row_max = subgroupMax(m[i]);
    const uint row_best = subgroupMin(m[i] == row_max ? best[i] : kNoRow);
    const float row_sum = subgroupAdd(s[i] * exp(m[i] - row_max));
    const float row_total = kTotal ? subgroupAdd(total[i]) : 0.0;
    if (subgroupElect()) write_strip(row, strip, row_max, row_sum, row_total, row_best);
    const uint target = target_of(row);
    if (target >= strip * kStrip && target < end && lane_of(target % kTileCols) == gl_SubgroupInvocationID)
      args.state.at[row * kRowState + kRowTarget] = target_z[i];
  }
}
