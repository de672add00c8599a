#pragma once
// The type of GEMM operands. Tensors that feed GEMMs are stored in it too: shadow weights, and the outputs of norms,
// attention and the feed-forward block with their gradients (Transformer::storage). Everything else is f32: all sums,
// the master weights, their gradients and moments, the residual stream, statistics, the loss.

namespace lapilli {

enum class Precision { f32, f16, bf16 };
constexpr const char* kPrecisionNames[] = {"f32", "f16", "bf16"};
constexpr const char* to_string(Precision precision) { return kPrecisionNames[static_cast<int>(precision)]; }

}  // namespace lapilli
