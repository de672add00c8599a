#pragma once
// Kernels: embedded SPIR-V + specialization constants -> pipelines, remembered on disk between runs.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/device.h"

namespace lapilli {

constexpr uint32_t kMaxPushBytes = 128;  // what every Vulkan device has

// Ids are the SPEC_* names of shaders/args.h.
struct SpecConstant {
  uint32_t id;
  uint32_t value;
  auto operator<=>(const SpecConstant&) const = default;
};
using SpecConstants = std::vector<SpecConstant>;

// A compiled kernel. Lives as long as its library.
class Kernel {
 public:
  const std::string& name() const { return name_; }
  const SpecConstants& constants() const { return constants_; }
  VkPipeline pipeline() const { return pipeline_; }
  VkPipelineLayout layout() const { return layout_; }

 private:
  friend class KernelLibrary;
  std::string name_;
  SpecConstants constants_;
  VkPipeline pipeline_ = VK_NULL_HANDLE;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
};

// Whether this build has shaders/<name>.comp: some need a shader compiler that knows an extension.
bool has_shader(std::string_view name);

class KernelLibrary {
 public:
  explicit KernelLibrary(Device& device);
  ~KernelLibrary();
  KernelLibrary(const KernelLibrary&) = delete;
  KernelLibrary& operator=(const KernelLibrary&) = delete;

  // The kernel of shaders/<name>.comp with these constants; compiled on first use. `subgroup_size` 0 leaves the choice
  // to the driver; another value is required of it (REQUIRES: within the device's range).
  const Kernel& get(std::string_view name, const SpecConstants& constants = {}, uint32_t subgroup_size = 0);

  // Every kernel compiled so far, by name and constants.
  std::vector<const Kernel*> compiled() const;

  Device& device() const { return device_; }
  // Writes the pipeline cache to disk; a cache that cannot be written costs compile time, never a run.
  void save_cache() const;

 private:
  struct Key {
    std::string name;
    SpecConstants constants;
    uint32_t subgroup_size;
    auto operator<=>(const Key&) const = default;
  };
  Kernel compile(const Key& key);

  Device& device_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // none when statistics are wanted: a pipeline from a cache may have lost its own
  VkPipelineLayout layout_ = VK_NULL_HANDLE;  // one for all: push constants and nothing else
  std::map<std::string, VkShaderModule, std::less<>> modules_;
  std::map<Key, Kernel> kernels_;
  bool cache_is_stale_ = false;
};

}  // namespace lapilli
