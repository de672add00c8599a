#pragma once
// Kernels as objects of VK_EXT_shader_object, whose binaries are kept on disk. For drivers whose pipeline cache remembers nothing: Mesa's
// lavapipe goes through its optimizer again for every pipeline, 0.3 to 0.6 s for the larger tiles of products, and reads such a binary in a
// tenth of that. Internal to the engine.

#include <filesystem>
#include <span>
#include <string>

#include "engine/vulkan/device.h"
#include "engine/vulkan/vulkan_headers.h"

namespace lapilli {

class ShaderObjects {
 public:
  // REQUIRES: device.caps().shader_objects.
  explicit ShaderObjects(const Device& device);

  // A compute shader without descriptors: read from what an earlier call left on disk, else compiled, and left there. A binary that the
  // driver does not know any more is replaced; a disk that cannot be written costs time, never a run. May be called from many threads.
  // `name`: for an error. Throws Error with what the driver said.
  VkShaderEXT create(const std::string& name, std::span<const uint32_t> spirv, const VkSpecializationInfo& specialization,
                     const VkPushConstantRange& push) const;
  void bind(VkCommandBuffer commands, VkShaderEXT object) const;
  void destroy(VkShaderEXT object) const;

 private:
  VkResult create_from(VkShaderCodeTypeEXT type, std::span<const std::byte> code, const VkSpecializationInfo& specialization,
                       const VkPushConstantRange& push, VkShaderEXT& object) const;
  void keep(const std::filesystem::path& path, VkShaderEXT object) const;

  const Device& device_;
  std::filesystem::path folder_;  // of this device and driver; empty: there is no place to write
  PFN_vkCreateShadersEXT create_;
  PFN_vkDestroyShaderEXT destroy_;
  PFN_vkGetShaderBinaryDataEXT get_binary_;
  PFN_vkCmdBindShadersEXT bind_;
};

}  // namespace lapilli
