#include "engine/kernel/device_cache.h"

#include "engine/base/environment.h"
#include "engine/base/error.h"
#include "engine/base/hash.h"

namespace lapilli {

std::string device_identity(const DeviceCaps& caps) {
  const std::string identity = fmt::format("{} {} {} {}", caps.uuid, caps.driver, caps.driver_version, caps.subgroup_size);
  return to_hex(hash_bytes(std::as_bytes(std::span(identity))));
}

std::filesystem::path device_cache_path(const DeviceCaps& caps, std::string_view what, std::string_view extension) {
  return cache_directory() / fmt::format("{}-{}{}", what, device_identity(caps), extension);
}

}  // namespace lapilli
