#version 460
// main() of loss_recompute_*.comp on CPU drivers: one tile per subgroup, as in the matmul. Values of rows are loaded
// for many rows at once, one row per lane.
//
// kernel loss_recompute_cpu
// kernel loss_recompute_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#ifdef LOAD64
const uint kLayout = 1;  // NT
const bool kOddA = false, kOddB = false;
#include "shaders/matmul/matmul_cpu_load64.glsl"
#else
#include "shaders/matmul/matmul_cpu_load32.glsl"
#endif
#include "shaders/loss/loss_recompute.glsl"

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kTileCols));
  const uint row0 = start.x, col0 = start.y;
  if (row0 >= o.rows) return;

  float lse[kRowRegisters], scale[kRowRegisters], weight[kRowRegisters];
  uint target[kRowRegisters];
  RowGradient terms;
  [[unroll]] for (uint g = 0; g < kRowRegisters; ++g) {
    terms = row_gradient(args, 1.0, 1.0, row_of_lane(row0, g, o.rows));
    lse[g] = terms.lse, scale[g] = terms.scale, weight[g] = terms.weight, target[g] = terms.target;
  }
  multiply(o, row0, col0);
  [[unroll]] for (uint i = 0; i < kRows; ++i) {
    const uint row = row0 + i;
    terms.lse = of_row(lse, i), terms.scale = of_row(scale, i), terms.weight = of_row(weight, i), terms.target = of_row(target, i);
    if (row < o.rows) {
      float gradient[kCols];
      [[unroll]] for (uint j = 0; j < kCols; ++j)
        gradient[j] = logit_gradient(terms, col0 + lane_column(j), args.alpha * sum[i][j], args.softcap, 0.0);
      [[unroll]] for (uint j = 0; j < kCols; j += kNeighbours) {  // columns beyond the last are in the gap between rows
        const uint col = col0 + lane_column(j);
        if (col < o.cols) write_neighbours(OutF32(uvec2(args.gradient)), row * args.logits_stride + col, gradient, j);
      }
    }
  }
}
