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

// GELU (Hendrycks and Gimpel 2016, the tanh form of GPT-2): 0.5 (1 + tanh(u)) = sigmoid(2u) with
// 2u = x (kGeluLinear + kGeluCubic x^2).
const float kGeluLinear = 1.5957691216057308;                // 2 sqrt(2 / pi)
const float kGeluCubic = 0.044715 * 1.5957691216057308;
