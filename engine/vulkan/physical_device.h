#pragma once
// Capabilities and choice of physical devices. Internal to the engine.

#include <optional>
#include <vector>

#include "engine/vulkan/device_caps.h"

namespace lapilli {

// Why this device cannot run Lapilli ("Vulkan 1.3 is needed, it has 1.1"), or empty when it can.
std::optional<std::string> why_unusable(VkPhysicalDevice physical);

DeviceCaps query_caps(VkInstance instance, VkPhysicalDevice physical);
uint64_t query_available_bytes(VkPhysicalDevice physical);
uint32_t find_compute_queue_family(VkPhysicalDevice physical);
bool has_extension(VkPhysicalDevice physical, const char* name);

// Throws Error with a list of the devices when the selector matches nothing.
VkPhysicalDevice choose_physical_device(VkInstance instance, const std::vector<VkPhysicalDevice>& usable, const std::string& selector);

}  // namespace lapilli
