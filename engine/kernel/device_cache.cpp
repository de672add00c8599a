#include "engine/kernel/device_cache.h"

#include <cstring>

#include "engine/base/environment.h"
#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"

namespace lapilli {

std::string device_identity(const DeviceCaps& caps) {
  const std::string identity = fmt::format("{} {} {} {}", caps.uuid, caps.driver, caps.driver_version, caps.subgroup_size);
  return to_hex(hash_bytes(std::as_bytes(std::span(identity))));
}

std::filesystem::path device_cache_path(const DeviceCaps& caps, std::string_view what, std::string_view extension) {
  return cache_directory() / fmt::format("{}-{}{}", what, device_identity(caps), extension);
}

std::vector<std::byte> read_cached(const std::filesystem::path& path) {
  try {
    if (!std::filesystem::exists(path)) return {};
    std::vector<std::byte> file = read_binary_file(path);
    uint64_t checksum = 0;
    if (file.size() <= sizeof checksum) return {};
    std::memcpy(&checksum, file.data(), sizeof checksum);
    file.erase(file.begin(), file.begin() + sizeof checksum);
    if (hash_bytes(file) == checksum) return file;
    log_debug("'{}' is damaged and not used", path.string());
  } catch (const std::exception& error) {  // Error, or of the file system
    log_debug("cache not read: {}", error.what());
  }
  return {};
}

void write_cached(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  try {
    const uint64_t checksum = hash_bytes(bytes);
    AtomicFile file(path);
    file.write(std::as_bytes(std::span(&checksum, 1)));
    file.write(bytes);
    file.commit();
  } catch (const Error& error) {
    log_debug("cache not written: {}", error.what());
  }
}

}  // namespace lapilli
