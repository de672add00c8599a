// What the loss kernels share.
const float kLowest = -3.0e38;  // where a maximum starts: finite, so that m - m' is never NaN by itself

// Softcap: z = kappa * tanh(u / kappa), of logits u; kappa 0 means none. dz/du = 1 - (z / kappa)^2.
// tanh is 1 to the last bit from 15 on, and overflows on some drivers further out. A logit that is not finite becomes NaN,
// so that its row is named: exp(-Inf) would be lost in the sum, and tanh(Inf) is 1.
float capped(float logit, float kappa) {
  const float finite_or_nan = isinf(logit) ? uintBitsToFloat(0x7FC00000u) : logit;
  if (kappa == 0.0 || isnan(finite_or_nan)) return finite_or_nan;
  return kappa * tanh(clamp(logit / kappa, -15.0, 15.0));
}
float cap_slope(float z, float kappa) { return kappa == 0.0 ? 1.0 : 1.0 - (z / kappa) * (z / kappa); }
