// The nonlinearities of the feed-forward block and their derivatives, f32: for separate kernels and GEMM epilogues.

// Beyond this distance from 0 a sigmoid is 0 or 1 to far below the last bit.
const float kSigmoidEdge = 100.0;

// The sigmoid and its slope at z, f32. exp only sees arguments <= 0, so that nothing overflows; 1 - sigmoid is never formed
// by subtraction, so that both tails keep their relative precision. A NaN stays one.
struct Sigmoid {
  float value;  // 1 / (1 + exp(-z))
  float slope;  // value * (1 - value)
};
Sigmoid sigmoid(float z) {
  const float tail = abs(z) > kSigmoidEdge ? 0.0 : exp(-abs(z));
  const float larger = 1.0 / (1.0 + tail);
  const float smaller = tail * larger;
  return Sigmoid(z < 0.0 ? smaller : larger, larger * smaller);
}

// GELU (Hendrycks and Gimpel 2016, the tanh form of GPT-2): x 0.5 (1 + tanh(u)) = x sigmoid(z) with
// z = 2u = x (kGeluLinear + kGeluCubic x^2).
const float kGeluLinear = 1.5957691216057308;                // 2 sqrt(2 / pi)
const float kGeluCubic = 0.044715 * 1.5957691216057308;
float gelu(float x) { return x * sigmoid(x * (kGeluLinear + kGeluCubic * x * x)).value; }
// Its derivative, s + x s (1 - s) z' with s the sigmoid of z.
float gelu_slope(float x) {
  const Sigmoid s = sigmoid(x * (kGeluLinear + kGeluCubic * x * x));
  // Where the slope is 0, z' may have overflowed.
  return s.value + (s.slope == 0.0 ? 0.0 : x * s.slope * (kGeluLinear + 3.0 * kGeluCubic * x * x));
}

// SwiGLU (Shazeer 2020): silu(gate) * up, silu(g) = g s with s the sigmoid of g.
float swiglu(vec2 gate_up) { return gate_up.x * sigmoid(gate_up.x).value * gate_up.y; }
// The gradients of gate (x) and up (y): d up (s + g s (1 - s)) and d silu(g).
vec2 swiglu_backward(float d, vec2 gate_up) {
  const Sigmoid s = sigmoid(gate_up.x);
  return d * vec2(gate_up.y * (s.value + gate_up.x * s.slope), gate_up.x * s.value);
}
