// The gradient of w times the objective by a logit u (before alpha, the temperature), with z = cap(u), p = exp(z - lse) and the
// teacher's q = exp(zt - lse_t):
//   dz = p (1 + 2 lambda lse) - (1 - beta) ((1 - eps) [column = y] + eps / V) - beta q,  du = dz (1 - (z/kappa)^2) w.
// p - 1 of the target is computed here in f32. A kernel stores `unit` times du: 1 in f32, kGradientScale in 16 bits.
#include "shaders/loss/args.h"
#include "shaders/loss/loss.glsl"

// Values common to all columns of a row. Kernels call the macro with their args, any struct that has these fields.
struct RowGradient {
  float lse, scale, weight;
  float on_target, everywhere;  // subtracted from p
  uint target;                  // relative to the chunk's first column; wraps to a large value if it is before it
};
#define row_gradient(args, unit, hard, row)                                                                              \
  RowGradient(args.state.at[(row) * kRowState + kRowLse],                                                          \
              1.0 + 2.0 * args.z_loss * args.state.at[(row) * kRowState + kRowLse],                                \
              (unit) * args.weights.at[args.token_of_row.at[row]],                                                         \
              (hard) * (1.0 - args.smoothing), (hard) * args.smoothing / float(args.vocab),                        \
              args.targets.at[args.token_of_row.at[row]] - args.first_column)

// `soft`: beta q of this column.
float logit_gradient(RowGradient row, uint column, float logit, float softcap, float soft) {
  const float z = capped(logit, softcap);
  float dz = exp(z - row.lse) * row.scale;
  if (column == row.target) dz -= row.on_target;
  return (dz - row.everywhere - soft) * cap_slope(z, softcap) * row.weight;
}
