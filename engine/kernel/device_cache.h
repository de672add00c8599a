#pragma once
// The cache files of one device and driver: compiled pipelines, tuning results.

#include <filesystem>
#include <string>
#include <string_view>

#include "engine/vulkan/device.h"

namespace lapilli {

// 16 hex digits that change with the device, the driver, its version and the subgroup size.
std::string device_identity(const DeviceCaps& caps);

// <cache_directory()>/<what>-<device_identity><extension>. Throws Error when the folder cannot be created.
std::filesystem::path device_cache_path(const DeviceCaps& caps, std::string_view what, std::string_view extension);

}  // namespace lapilli
