#pragma once
// What a device must have before it is offered. Internal to the engine.

#include <optional>
#include <string>

#include "engine/vulkan/vulkan_headers.h"

namespace lapilli {

// What a driver reports of a device, as far as suitability depends on it.
struct ReportedLimits {
  std::string name;
  uint32_t api_version = 0;
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  bool buffer_device_address = false, compute_queue = false;
  VkSubgroupFeatureFlags subgroup_operations = 0;
  VkShaderStageFlags subgroup_stages = 0;                       // in which those operations work
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;
  VkShaderStageFlags required_subgroup_size_stages = 0;         // in which a pipeline may require a size
  uint32_t max_workgroup_invocations = 0, max_workgroup_size_x = 0;
  uint32_t max_shared_bytes = 0;
};

// Why such a device cannot run Lapilli ("Vulkan 1.3 is needed, it has 1.1"), or empty when it can.
std::optional<std::string> why_unsuitable(const ReportedLimits& device);

}  // namespace lapilli
