// What the three classes of loss_recompute_*.comp share: a tile of logits is computed once more, and leaves the registers as
// gradients of logits.
#include "shaders/loss_gradient.glsl"

layout(push_constant, std430) uniform Push { LossRecomputeArgs args; };

uint a_row_start(uint row) { return args.rows.at[row] * args.dim; }
Operands operands() { return Operands(args.x, args.w, min(args.live.at[0], args.range), args.cols, args.dim, 1, 1, args.dim); }
