#pragma once
// Functions of a device's extensions. Internal to the engine.

#include "engine/vulkan/vk_check.h"

namespace lapilli {

// REQUIRES: the device was made with the extension that `name` comes from.
template <typename Function>
Function load_device_function(VkDevice device, const char* name) {
  const auto function = reinterpret_cast<Function>(vkGetDeviceProcAddr(device, name));
  CHECK(function != nullptr, "{} is missing from a device that has its extension", name);
  return function;
}

}  // namespace lapilli
