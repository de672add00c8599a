#pragma once
// The kernels of the optimizer on flat parameter memory, f32: gradient norm with clipping, and AdamW.

#include "model/ops/ops.h"

namespace lapilli {

// Elements per dispatch; longer tensors take several. Shader indices are signed, and a dispatch should stay short.
constexpr uint64_t kSliceElements = uint64_t{1} << 28;

// result = {norm, scale}: norm = sqrt(sum of squares), summed in a fixed order; scale = min(1, clip / (norm + 1e-6)) as
// torch.nn.utils.clip_grad_norm_, 1 when clip is 0. With
// `unscale`, the inverse of the f16 loss scale, norm is that of the gradients times it, and scale is multiplied by it. For a
// norm that is not finite, result[0] holds it and scale is 1.
// Scratch: at least gradient_norm_scratch_floats(P) floats. 0 < P < 2^32.
uint64_t gradient_norm_scratch_floats(uint64_t count);
void gradient_norm(Ops& ops, Tensor result /*[2]*/, Tensor scratch, ConstTensor gradients /*[P]*/, ConstTensor unscale /*[1] or empty*/, float clip,
                   uint64_t slice_elements = kSliceElements);

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
};

// PyTorch's AdamW: p -= lr * weight_decay * p; m and v are updated with g * scale; p -= lr * m_hat / (sqrt(v_hat) + eps).
// step_scalars = {lr, 1 / (1 - beta1^t), 1 / (1 - beta2^t), apply}; apply = 0 leaves p, m and v untouched, and so does a
// norm that is not finite. norm_and_scale is gradient_norm's result, or empty (scale 1). `copy`, f16 or bf16, receives
// the updated p as shadow weights; P is even then.
void adamw(Ops& ops, Tensor p /*[P]*/, Tensor m /*[P]*/, Tensor v /*[P]*/, Tensor copy /*[P] or empty*/, ConstTensor g /*[P]*/,
           ConstTensor step_scalars /*[4]*/, ConstTensor norm_and_scale /*[2] or empty*/, const AdamWOptions& options,
           uint64_t slice_elements = kSliceElements);

}  // namespace lapilli
