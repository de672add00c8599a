#version 460
// Logits and their online log-sum-exp from a tile that a workgroup holds as one matrix (matmul_coopmat2.glsl). A
// workgroup's vocab block is its tile. The driver's row reductions use an unspecified order, the same each time.
//
// Registers: the matrix of logits, and a second one while argmax candidates, or logits for their sum, are reduced: 2 x
// 64 per thread for 128 x 128 with 256 threads, so larger tiles do not fit; one workgroup per SM, as for
// the matmul. Shared memory: 12 bytes per row, 1.5 KB. One exp per 2D FLOPs of a logit; memory traffic 16 bytes per row
// and tile, and 4 per kept logit.
//
// kernel loss_logits_coopmat2_f16: COOPMAT2_F16
// kernel loss_logits_coopmat2_bf16: COOPMAT2_BF16
// kernel loss_logits_coopmat2_f16_emulated: EMULATED_F16
// kernel loss_logits_coopmat2_bf16_emulated: EMULATED_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/matmul/workgroup_operands.glsl"
const uint kContiguous = 3;  // x and w along D
#define COMPACT_X
#include "shaders/matmul/matmul_coopmat2.glsl"
#ifdef EMULATED
#include "shaders/matmul/workgroup_rows_emulated.glsl"
#else
#include "shaders/matmul/workgroup_rows.glsl"
#endif
#include "shaders/loss/loss_logits.glsl"

shared uint row_target[kRows];
shared float row_max[kRows];

// Per-element functions on the tile [tile.xy, tile.zw). Each may run more than once per element, in any order.
float to_logit(const in uint row, const in uint col, const in float sum, const in uvec4 tile, const in float alpha) { return alpha * sum; }
// Columns beyond the last get kLowest.
float to_capped(const in uint row, const in uint col, const in float logit, const in uvec4 tile, const in float alpha) {
  const uvec2 place = tile.xy + uvec2(row, col);
  if (place.y >= tile.w) return kLowest;
  const float z = capped(logit, args.softcap);
  if (place.y == row_target[row] && place.x < tile.z) args.state.at[place.x * kRowState + kRowTarget] = z;
  return z;
}
float to_candidate(const in uint row, const in uint col, const in float z, const in uvec4 tile, const in float alpha) {
  return tile.y + col < tile.w && z == row_max[row] ? float(tile.y + col) : -kLowest;
}
float to_summand(const in uint row, const in uint col, const in float z, const in uvec4 tile, const in float alpha) {
  return tile.y + col < tile.w ? z : 0.0;
}
float to_exponential(const in uint row, const in uint col, const in float z, const in uvec4 tile, const in float alpha) {
  return tile.y + col < tile.w ? exp(z - row_max[row]) : 0.0;
}
float larger(const in float x, const in float y) { return max(x, y); }
float smaller(const in float x, const in float y) { return min(x, y); }
float added(const in float x, const in float y) { return x + y; }

void main() {
  Operands o = operands();
  const uvec2 vocab_block = vocab_block_of_group(kRows), start = vocab_block * uvec2(kRows, kCols), end = uvec2(o.rows, o.cols);
  if (start.x >= end.x || start.y >= end.y) return;
  const uint thread = gl_LocalInvocationIndex;  // below kRows: handles row start.x + thread
  if (thread < kRows) row_target[thread] = start.x + thread < end.x ? target_of(start.x + thread) : end.y;
  Sums z = tile_sums(o, start);
  barrier();

  const float alpha = args.alpha;
  if (alpha != 1.0) coopMatPerElementNV(z, z, to_logit, uvec4(start, end), alpha);
  if (kKeep) STORE_TILE(z, OutSums(uvec2(args.logits)), start, end, args.logits_stride)
  coopMatPerElementNV(z, z, to_capped, uvec4(start, end), alpha);
  REDUCE_ROWS(z, larger)
  if (thread < kRows) row_max[thread] = row_values[thread];
  barrier();

  float row_best = 0.0, row_total = 0.0;
  {
    Sums candidates;
    coopMatPerElementNV(candidates, z, to_candidate, uvec4(start, end), alpha);
    REDUCE_ROWS(candidates, smaller)
    if (thread < kRows) row_best = row_values[thread];
  }
  if (kTotal) {
    Sums summands;
    coopMatPerElementNV(summands, z, to_summand, uvec4(start, end), alpha);
    REDUCE_ROWS(summands, added)
    if (thread < kRows) row_total = row_values[thread];
  }
  coopMatPerElementNV(z, z, to_exponential, uvec4(start, end), alpha);
  REDUCE_ROWS(z, added)
  if (thread < kRows && start.x + thread < end.x)
    write_vocab_block(start.x + thread, vocab_block.y, row_max[thread], row_values[thread], row_total, uint(row_best));
}
