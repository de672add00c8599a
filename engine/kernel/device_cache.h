#pragma once
// The cache files of one device and driver: compiled pipelines, tuning results.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/vulkan/device.h"

namespace lapilli {

// 16 hex digits that change with the device, the driver, its version and the subgroup size.
std::string device_identity(const DeviceCaps& caps);

// <cache_directory()>/<what>-<device_identity><extension>. Throws Error when the folder cannot be created.
std::filesystem::path device_cache_path(const DeviceCaps& caps, std::string_view what, std::string_view extension);

// Files of the cache: the checksum of the bytes (XXH3), then the bytes, for what drivers do not verify themselves. Neither function throws:
// what is missing or damaged reads as empty, what cannot be written is not kept.
std::vector<std::byte> read_cached(const std::filesystem::path& path);
void write_cached(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace lapilli
