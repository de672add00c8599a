// The gradient of the loss by a logit u (before alpha, the temperature), with z = cap(u):
//   p = exp(z - lse),  dz = p (1 + 2 lambda lse) - (1 - eps) [column = y] - eps / V,  du = dz (1 - (z/kappa)^2) w / sum w.
// p - 1 of the target is formed here in f32.
#include "shaders/loss.glsl"

// What is the same for all columns of a row.
struct RowGradient {
  float lse, scale, weight;
  uint target;  // counted from the chunk's first column; wraps far above its width when it lies before
};
// Of a compact row; `args` has the fields that LossGradientArgs and LossRecomputeArgs share.
#define row_gradient(args, row)                                                                                    \
  RowGradient(args.state.at[(row) * kRowState + kRowLse],                                                          \
              1.0 + 2.0 * args.z_loss * args.state.at[(row) * kRowState + kRowLse],                                \
              args.weights.at[args.rows.at[row]] * args.inverse_weight.at[0],                                      \
              args.targets.at[args.rows.at[row]] - args.first_column)
#define logit_gradient(args, terms, column, logit) \
  logit_gradient_of(terms, column, logit, args.softcap, args.smoothing, args.smoothing / float(args.vocab))

float logit_gradient_of(RowGradient row, uint column, float logit, float softcap, float smoothing, float everywhere) {
  const float z = capped(logit, softcap);
  float dz = exp(z - row.lse) * row.scale;
  if (column == row.target) dz -= 1.0 - smoothing;
  return (dz - everywhere) * cap_slope(z, softcap) * row.weight;
}
