// What the loss kernels share.
const float kLowest = -3.0e38;  // where a maximum starts: finite, so that m - m' is never NaN by itself

// Softcap: z = kappa * tanh(u / kappa), of logits u; kappa 0 means none. dz/du = 1 - (z / kappa)^2.
// tanh is 1 to the last bit from 15 on, and overflows on some drivers further out. A NaN stays one.
float capped(float logit, float kappa) {
  if (kappa == 0.0 || isnan(logit)) return logit;
  return kappa * tanh(clamp(logit / kappa, -15.0, 15.0));
}
float cap_slope(float z, float kappa) { return kappa == 0.0 ? 1.0 : 1.0 - (z / kappa) * (z / kappa); }
