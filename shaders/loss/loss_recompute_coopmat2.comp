#version 460
// Recomputed logits, stored as logit gradients in the operand type, from a tile that a workgroup holds as one matrix
// (matmul_coopmat2.glsl). Shared memory: the values common to all columns of a row, 24 bytes per row, 3 KB for 128
// rows. Registers and occupancy as in the matmul. One exp per 2D FLOPs of a logit; 2 bytes written for each.
//
// kernel loss_recompute_coopmat2_f16: COOPMAT2_F16
// kernel loss_recompute_coopmat2_bf16: COOPMAT2_BF16
// kernel loss_recompute_coopmat2_f16_emulated: EMULATED_F16
// kernel loss_recompute_coopmat2_bf16_emulated: EMULATED_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/matmul/workgroup_operands.glsl"
const uint kContiguous = 3;  // x and w along D
#define COMPACT_X
#include "shaders/matmul/matmul_coopmat2.glsl"
#include "shaders/loss/loss_recompute.glsl"

shared RowGradient row_terms[kRows];

// Per-element functions on the tile [tile.xy, tile.zw). Each may run more than once per element, in any order.
float to_gradient(const in uint row, const in uint col, const in float sum, const in uvec4 tile, const in float alpha) {
  return logit_gradient(row_terms[row], tile.y + col, alpha * sum, args.softcap, 0.0);
}
float write(const in uint row, const in uint col, const in float value, const in uvec4 tile, const in float alpha) {
  const uvec2 place = tile.xy + uvec2(row, col);
  if (all(lessThan(place, tile.zw)))
    InOutHalves(uvec2(args.gradient)).at[2 * place.x * args.logits_stride + place.y] = uint16_t(pack_operands(vec2(value, 0.0)));
  return value;
}

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols)), end = uvec2(o.rows, o.cols);
  if (start.x >= end.x) return;
  for (uint row = gl_LocalInvocationIndex; row < kRows; row += kWorkgroup)
    row_terms[row] = row_gradient(args, kGradientScale, 1.0, min(start.x + row, end.x - 1));
  const float alpha = args.alpha;
  Sums gradients = tile_sums(o, start);
  barrier();
  coopMatPerElementNV(gradients, gradients, to_gradient, uvec4(start, end), alpha);
#ifdef STORES_ROUNDED
  const RoundedSums result = ROUNDED(gradients);
  STORE_TILE(result, OutRoundedSums(uvec2(args.gradient)), start, end, 2 * args.logits_stride)
#else
  coopMatPerElementNV(gradients, gradients, write, uvec4(start, end), alpha);
#endif
}
