#include "engine/vulkan/suitability.h"

#include <fmt/format.h>

#include <utility>

#include "engine/vulkan/device_policy.h"

namespace lapilli {

namespace {

// The GL_KHR_shader_subgroup_* extensions of shaders/common/common.glsl.
constexpr std::pair<VkSubgroupFeatureFlagBits, const char*> kSubgroupOperations[] = {{VK_SUBGROUP_FEATURE_BASIC_BIT, "basic operations"},
                                                                                     {VK_SUBGROUP_FEATURE_VOTE_BIT, "vote"},
                                                                                     {VK_SUBGROUP_FEATURE_ARITHMETIC_BIT, "arithmetic"},
                                                                                     {VK_SUBGROUP_FEATURE_BALLOT_BIT, "ballot"},
                                                                                     {VK_SUBGROUP_FEATURE_SHUFFLE_BIT, "shuffle"}};

}  // namespace

std::optional<std::string> why_unsuitable(const ReportedLimits& device) {
  const auto version = [](uint32_t v) { return fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(v), VK_API_VERSION_MINOR(v), VK_API_VERSION_PATCH(v)); };
  if (device.api_version < VK_API_VERSION_1_3) return fmt::format("{} has Vulkan {}, 1.3 is needed", device.name, version(device.api_version));
  if (!device.buffer_device_address) return fmt::format("{} has no buffer device addresses", device.name);
  if (!device.compute_queue) return fmt::format("{} has no compute queue", device.name);
  if ((device.subgroup_stages & VK_SHADER_STAGE_COMPUTE_BIT) == 0) return fmt::format("{} lacks subgroup operations in compute shaders", device.name);
  for (const auto& [operation, what] : kSubgroupOperations)
    if ((device.subgroup_operations & operation) == 0) return fmt::format("{} lacks subgroup {} in compute shaders", device.name, what);
  // A device with one size needs no pipeline that requires it.
  if (device.min_subgroup_size != device.max_subgroup_size && (device.required_subgroup_size_stages & VK_SHADER_STAGE_COMPUTE_BIT) == 0)
    return fmt::format("{} has subgroups of {} to {} lanes, and compute shaders cannot require one of these sizes", device.name,
                       device.min_subgroup_size, device.max_subgroup_size);
  if (device.max_workgroup_invocations < kTiledThreads)
    return fmt::format("{} has workgroups of at most {} invocations, {} are needed", device.name, device.max_workgroup_invocations, kTiledThreads);
  if (device.max_workgroup_size_x < kTiledThreads)
    return fmt::format("{} has workgroups of at most {} invocations in x, {} are needed", device.name, device.max_workgroup_size_x, kTiledThreads);
  // The kernels for CPU drivers have no tiles in shared memory.
  if (device.type != VK_PHYSICAL_DEVICE_TYPE_CPU && device.max_shared_bytes < kTiledSharedBytes)
    return fmt::format("{} has {} KiB of shared memory, {} are needed", device.name, device.max_shared_bytes / 1024, kTiledSharedBytes / 1024);
  return std::nullopt;
}

}  // namespace lapilli
