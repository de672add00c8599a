#pragma once
// Kernels as objects of VK_EXT_shader_object, whose binaries are cached on disk. For drivers whose pipeline cache
// stores nothing: Mesa's lavapipe runs its optimizer again for every pipeline, 0.3 to 0.6 s for the larger matmul
// tiles, and reads such a binary in a tenth of that. Internal to the engine.

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/vulkan/device.h"
#include "engine/vulkan/vulkan_headers.h"

namespace lapilli {

class FirstDispatch;

class ShaderObjects {
 public:
  enum class DiskCache { on, off };
  // REQUIRES: device.caps().shader_objects.
  explicit ShaderObjects(const Device& device, DiskCache disk_cache = DiskCache::on);
  ~ShaderObjects();

  // A compute shader without descriptors: read from the disk cache, or compiled and cached. Replaces a binary that the
  // driver no longer accepts. A disk that cannot be written costs time and never ends a run. Thread-safe.
  // `name`: for the error message. Throws Error with the driver's message.
  VkShaderEXT create(const std::string& name, std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization,
                     const VkPushConstantRange& push) const;
  // Whether the disk cache has this binary.
  bool is_cached(std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization, const VkPushConstantRange& push) const;
  // Null when the driver rejects the binary.
  VkShaderEXT create_from_binary(std::span<const std::byte> binary, const VkSpecializationInfo& specialization,
                                 const VkPushConstantRange& push) const;
  void bind(VkCommandBuffer commands, VkShaderEXT object) const;
  void destroy(VkShaderEXT object) const;

 private:
  VkResult create_from(VkShaderCodeTypeEXT type, std::span<const std::byte> code, const VkSpecializationInfo& specialization,
                       const VkPushConstantRange& push, VkShaderEXT& object) const;
  std::vector<std::byte> binary_of(VkShaderEXT object) const;  // empty: the driver provides none

  const Device& device_;
  std::filesystem::path folder_;  // of this device and driver; empty: no cache
  std::unique_ptr<FirstDispatch> first_dispatch_;  // or none
  PFN_vkCreateShadersEXT create_;
  PFN_vkDestroyShaderEXT destroy_;
  PFN_vkGetShaderBinaryDataEXT get_binary_;
  PFN_vkCmdBindShadersEXT bind_;
};

}  // namespace lapilli
