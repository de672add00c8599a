#pragma once
// Descriptions of a device, for users and for scripts.

#include <nlohmann/json_fwd.hpp>

#include "engine/vulkan/device.h"

namespace lapilli {

const char* device_type_name(VkPhysicalDeviceType type);

// The keys are a stable interface: `devices --json` and "device" of every bench.
nlohmann::ordered_json device_to_json(const DeviceCaps& caps);

}  // namespace lapilli
