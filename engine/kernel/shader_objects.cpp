#include "engine/kernel/shader_objects.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"
#include "engine/kernel/device_cache.h"
#include "engine/kernel/first_dispatch.h"
#include "engine/vulkan/extensions.h"

namespace lapilli {

namespace {

namespace fs = std::filesystem;

// Some 100 KB each. The oldest files are removed first: mostly those of earlier builds.
constexpr size_t kMostFiles = 1000;

fs::path make_folder(const DeviceCaps& caps) {
  try {
    fs::path folder = device_cache_path(caps, "kernels", "");
    fs::create_directories(folder);
    std::vector<std::pair<fs::file_time_type, fs::path>> files;
    std::error_code gone;  // another process may rename or remove the file meanwhile
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (const auto written = entry.last_write_time(gone); !gone) files.emplace_back(written, entry.path());
    std::ranges::sort(files);
    const size_t too_many = files.size() > kMostFiles ? files.size() - kMostFiles / 2 : 0;
    for (size_t i = 0; i < too_many; ++i) fs::remove(files[i].second, gone);
    return folder;
  } catch (const std::exception& error) {  // Error, or of the file system
    log_debug("compiled kernels are not kept: {}", error.what());
    return {};
  }
}

constexpr VkFlags kFlags = VK_SHADER_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;

// Everything a binary depends on besides the device and its driver.
std::string name_of(std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization, const VkPushConstantRange& push) {
  StreamingHash hash;
  hash.update(std::as_bytes(std::span(&kFlags, 1)));
  hash.update(std::as_bytes(std::span(&push, 1)));
  hash.update(std::as_bytes(spirv));
  hash.update(std::as_bytes(std::span(specialization.pMapEntries, specialization.mapEntryCount)));
  hash.update({static_cast<const std::byte*>(specialization.pData), specialization.dataSize});
  return to_hex(hash.digest()) + ".bin";
}

}  // namespace

ShaderObjects::ShaderObjects(const Device& device, DiskCache disk_cache)
    : device_(device),
      folder_(disk_cache == DiskCache::on ? make_folder(device.caps()) : fs::path()),
      first_dispatch_(disk_cache == DiskCache::on ? std::make_unique<FirstDispatch>(device) : nullptr),
      create_(load_device_function<PFN_vkCreateShadersEXT>(device.handle(), "vkCreateShadersEXT")),
      destroy_(load_device_function<PFN_vkDestroyShaderEXT>(device.handle(), "vkDestroyShaderEXT")),
      get_binary_(load_device_function<PFN_vkGetShaderBinaryDataEXT>(device.handle(), "vkGetShaderBinaryDataEXT")),
      bind_(load_device_function<PFN_vkCmdBindShadersEXT>(device.handle(), "vkCmdBindShadersEXT")) {}

ShaderObjects::~ShaderObjects() = default;

VkResult ShaderObjects::create_from(VkShaderCodeTypeEXT type, std::span<const std::byte> code, const VkSpecializationInfo& specialization,
                                    const VkPushConstantRange& push, VkShaderEXT& object) const {
  const VkShaderCreateInfoEXT info{.sType = VK_STRUCTURE_TYPE_SHADER_CREATE_INFO_EXT,
                                   .flags = kFlags,
                                   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                   .codeType = type,
                                   .codeSize = code.size(),
                                   .pCode = code.data(),
                                   .pName = "main",
                                   .pushConstantRangeCount = 1,
                                   .pPushConstantRanges = &push,
                                   .pSpecializationInfo = &specialization};
  return create_(device_.handle(), 1, &info, nullptr, &object);
}

bool ShaderObjects::is_cached(std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization, const VkPushConstantRange& push) const {
  std::error_code unreadable;  // an unreadable file: compile instead
  return !folder_.empty() && fs::exists(folder_ / name_of(spirv, specialization, push), unreadable);
}

VkShaderEXT ShaderObjects::create(const std::string& name, std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization,
                                  const VkPushConstantRange& push) const {
  const fs::path path = folder_.empty() ? fs::path() : folder_ / name_of(spirv, specialization, push);
  const std::vector<std::byte> binary = path.empty() ? std::vector<std::byte>() : read_cached(path);
  if (!binary.empty())
    if (const VkShaderEXT known = create_from_binary(binary, specialization, push); known != VK_NULL_HANDLE) return known;
  VkShaderEXT object = VK_NULL_HANDLE;
  vk_check(create_from(VK_SHADER_CODE_TYPE_SPIRV_EXT, std::as_bytes(spirv), specialization, push, object),
           fmt::format("vkCreateShadersEXT ({})", name).c_str());
  const std::vector<std::byte> made = binary_of(object);
  if (!made.empty() && first_dispatch_) first_dispatch_->run(made, specialization, push);
  if (!made.empty() && !path.empty()) write_cached(path, made);
  return object;
}

VkShaderEXT ShaderObjects::create_from_binary(std::span<const std::byte> binary, const VkSpecializationInfo& specialization,
                                              const VkPushConstantRange& push) const {
  VkShaderEXT object = VK_NULL_HANDLE;
  // Any failure means: compile. The driver checks its version in the binary.
  return create_from(VK_SHADER_CODE_TYPE_BINARY_EXT, binary, specialization, push, object) == VK_SUCCESS ? object : VK_NULL_HANDLE;
}

std::vector<std::byte> ShaderObjects::binary_of(VkShaderEXT object) const {
  size_t size = 0;
  if (get_binary_(device_.handle(), object, &size, nullptr) != VK_SUCCESS) return {};
  std::vector<std::byte> binary(size);
  return get_binary_(device_.handle(), object, &size, binary.data()) == VK_SUCCESS ? binary : std::vector<std::byte>();
}

void ShaderObjects::bind(VkCommandBuffer commands, VkShaderEXT object) const {
  const VkShaderStageFlagBits stage = VK_SHADER_STAGE_COMPUTE_BIT;
  bind_(commands, 1, &stage, &object);
}

void ShaderObjects::destroy(VkShaderEXT object) const { destroy_(device_.handle(), object, nullptr); }

}  // namespace lapilli
