#version 460
// Recomputed logits, stored as logit gradients, from a tile in blocks: 16-bit operands for 16-bit kernels
// (matmul_coopmat.glsl), else f32. Registers, shared memory and occupancy as in the matmul. One exp per 2D FLOPs of a
// logit; 2 or 4 bytes written for each.
//
// kernel loss_recompute_tiled: TILED
// kernel loss_recompute_coopmat_f16: COOPMAT_F16
// kernel loss_recompute_coopmat_bf16: COOPMAT_BF16
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
#include "shaders/loss/loss_recompute.glsl"

#ifdef OPERAND_TYPE
const float kUnit = kGradientScale;
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutU32x2 { uvec2 at[]; };
// Columns beyond the last are in the gap between rows.
void store_gradients(uint row, uint col, vec4 values) {
  OutU32x2(uvec2(args.gradient)).at[(2 * row * args.logits_stride + col) / 4] = uvec2(pack_operands(values.xy), pack_operands(values.zw));
}
#else
const float kUnit = 1.0;
void store_gradients(uint row, uint col, vec4 values) {
  [[unroll]] for (uint x = 0; x < 4; ++x)
    if (col + x < args.cols) OutF32(uvec2(args.gradient)).at[row * args.logits_stride + col + x] = values[x];
}
#endif

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows) return;
  multiply(o, row0, col0);
  [[unroll]] for (uint i = 0; i < 4 * kBlocksR; ++i) {
    const uint row = row0 + block_row(i / 4) + i % 4;
    if (row >= o.rows) continue;
    const RowGradient terms = row_gradient(args, kUnit, 1.0, row);
    [[unroll]] for (uint j = 0; j < kBlocksC; ++j) {
      const uint col = col0 + block_col(j);
      vec4 gradients = vec4(0.0);
      [[unroll]] for (uint x = 0; x < 4; ++x) gradients[x] = logit_gradient(terms, col + x, args.alpha * sum[i][j][x], args.softcap, 0.0);
      if (col < o.cols) store_gradients(row, col, gradients);
    }
  }
}
