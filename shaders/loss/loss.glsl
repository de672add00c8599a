// Shared by the loss kernels.
const float kLowest = -3.0e38;  // initial maximum: finite, so that m - m' is not NaN

// Softcap: z = kappa * tanh(u / kappa), of logits u; kappa 0 means none. dz/du = 1 - (z / kappa)^2.
// tanh is 1 to the last bit from 15 on, and overflows on some drivers for larger arguments.
// A logit that is not finite becomes +Inf: it is then visible in the row's maximum, and so in its loss, on every
// driver. Otherwise tanh(Inf) would be 1, exp(-Inf) would vanish in the sum, and so would exp(NaN) where exp() clamps
// its argument.
const uint kInfinity = 0x7F800000u;
bool is_finite(float x) { return (floatBitsToUint(x) & kInfinity) != kInfinity; }
// A CPU driver evaluates both sides of a condition, and tanh costs more than everything else: hence the constant.
layout(constant_id = SPEC_SOFTCAP) const uint kSoftcap = 1;
float capped(float logit, float kappa) {
  const float z = is_finite(logit) ? logit : uintBitsToFloat(kInfinity);
  if (kSoftcap == 0) return z;
  if (kappa == 0.0 || isinf(z)) return z;
  return kappa * tanh(clamp(logit / kappa, -15.0, 15.0));
}
float cap_slope(float z, float kappa) { return kSoftcap == 0 || kappa == 0.0 ? 1.0 : 1.0 - (z / kappa) * (z / kappa); }
