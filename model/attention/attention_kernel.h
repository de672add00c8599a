#pragma once
// Which kernel an attention pass uses, and its tile config.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/memory/dtype.h"
#include "engine/vulkan/device.h"

namespace lapilli {

enum class AttentionPass { forward, backward };

constexpr uint32_t kMaxHeadWidth = 256;

// The kernel of a pass and its tile config.
struct AttentionKernel {
  KernelClass kernel_class;
  uint32_t block_m = 0, block_n = 0;    // rows held by a lane (cpu) or a workgroup; rows of the other side per iteration
  uint32_t subgroups_m = 0, subgroups_n = 0;  // coopmat: grid of subgroups
  bool block_m_shared = false;      // coopmat: the held rows stay in shared memory instead of fragments
  std::string to_string() const;  // "coopmat 64x32 shared"
};

struct AttentionShape {
  uint32_t batch;       // B
  uint32_t context;     // T
  uint32_t heads;       // H, a multiple of G
  uint32_t kv_heads;    // G
  uint32_t head_width;  // E, 1..kMaxHeadWidth
  std::optional<KernelClass> force = std::nullopt;       // overrides the default and any measurement (tests)
  std::optional<AttentionKernel> kernel = std::nullopt;  // the same, with the complete tile config
};

// Whether the device has a cooperative-matrix kernel for this head width (at most 128). Otherwise attention uses the
// f32 kernels, which accept f32 memory only.
bool has_coopmat_attention(const DeviceCaps& caps, Precision precision, uint32_t head_width);
// The default kernel of a class for a head width; and the candidates to measure, the default first.
AttentionKernel attention_kernel(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, KernelClass kernel_class);
std::vector<AttentionKernel> attention_candidates(const DeviceCaps& caps, Precision precision, uint32_t head_width, AttentionPass pass, DType memory,
                                                  const AttentionKernel& default_kernel);

}  // namespace lapilli
