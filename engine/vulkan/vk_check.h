#pragma once
// The Vulkan headers, and the check of every Vulkan call.

#include "engine/vulkan/vulkan_headers.h"

#include "engine/base/error.h"

namespace lapilli {

const char* vk_result_name(VkResult result);

// Throws Error with the call, the result and its usual meaning; DeviceLost for VK_ERROR_DEVICE_LOST.
void vk_check(VkResult result, const char* call);

}  // namespace lapilli
