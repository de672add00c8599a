#pragma once
// Vulkan, and the one way a failed call is reported.

#include "engine/vulkan/vulkan_headers.h"

#include "engine/base/error.h"

namespace lapilli {

const char* vk_result_name(VkResult result);

// Throws Error naming the call, the result and what it usually means; DeviceLost where that is it.
void vk_check(VkResult result, const char* call);

}  // namespace lapilli
