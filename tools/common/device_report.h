#pragma once
// A device, for people and for scripts.

#include <nlohmann/json_fwd.hpp>

#include "engine/vulkan/device.h"

namespace lapilli {

const char* device_type_name(VkPhysicalDeviceType type);

// Keys are a promise: `devices --json` and the "device" of every bench.
nlohmann::ordered_json device_to_json(const DeviceCaps& caps);

}  // namespace lapilli
