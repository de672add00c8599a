#pragma once
// The type of the factors of matrix products. What goes into products is stored in it too: copies of the weight matrices, outputs of
// norms, attention and the feed-forward block with their gradients (Transformer::storage). All sums, and all else that is stored - the weights
// themselves, their gradients and moments, the residual stream, statistics, the loss - are f32.

namespace lapilli {

enum class Precision { f32, f16, bf16 };
constexpr const char* kPrecisionNames[] = {"f32", "f16", "bf16"};
constexpr const char* to_string(Precision precision) { return kPrecisionNames[static_cast<int>(precision)]; }

}  // namespace lapilli
