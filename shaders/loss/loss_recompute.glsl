// Shared by all classes of loss_recompute_*.comp: a tile of logits is recomputed and stored as logit gradients.
#include "shaders/loss/args.h"
#include "shaders/loss/loss_gradient.glsl"

layout(push_constant, std430) uniform Push { LossRecomputeArgs args; };

#include "shaders/loss/loss_rows.glsl"
// First row and column of this workgroup's tile.
uvec2 tile_start(uvec2 tile_size) {
  return tile_of_group((uvec2(args.row_chunk, args.cols) + tile_size - 1) / tile_size, args.permutation_step) * tile_size;
}
Operands operands() { return Operands(OPERAND(uvec2(args.x)), OPERAND(uvec2(args.w)), min(args.num_valid.at[0], args.row_chunk), args.cols, args.dim, 1, 1, args.dim); }
