#pragma once
// Types of elements, and of GEMM operands.

#include <cstdint>

namespace lapilli {

// Of a tensor's elements in memory.
enum class DType { f32, u32, f16, bf16 };
constexpr uint64_t size_bytes(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16 ? 2 : 4; }

// Of GEMM operands. Tensors that feed GEMMs are stored in it too: shadow weights, and the outputs of norms, attention
// and the feed-forward block with their gradients (Transformer::storage). Everything else is f32: all sums, the master
// weights, their gradients and moments, the residual stream, statistics, the loss.
enum class Precision { f32, f16, bf16 };
constexpr const char* kPrecisionNames[] = {"f32", "f16", "bf16"};
constexpr const char* to_string(Precision precision) { return kPrecisionNames[static_cast<int>(precision)]; }
// The storage type of operands of this precision.
constexpr DType storage_type(Precision precision) {
  return precision == Precision::f32 ? DType::f32 : precision == Precision::f16 ? DType::f16 : DType::bf16;
}

}  // namespace lapilli
