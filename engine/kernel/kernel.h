#pragma once
// Kernels: embedded SPIR-V + specialization constants -> machine code, remembered on disk between runs: pipelines, or shader objects where a
// driver's pipeline cache remembers nothing.

#include <chrono>
#include <cstdint>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernel/embedded_shader.h"
#include "engine/vulkan/device.h"
#include "engine/vulkan/vulkan_headers.h"

namespace lapilli {

constexpr uint32_t kMaxPushBytes = 128;  // what every Vulkan device has

// Ids are the SPEC_* names of shaders/common/args.h.
struct SpecConstant {
  uint32_t id;
  uint32_t value;
  auto operator<=>(const SpecConstant&) const = default;
};
using SpecConstants = std::vector<SpecConstant>;

class ShaderObjects;
class TaskPool;

// One of the two.
struct CompiledKernel {
  VkPipeline pipeline = VK_NULL_HANDLE;
  VkShaderEXT object = VK_NULL_HANDLE;
  bool operator==(const CompiledKernel&) const = default;
};

// A kernel, compiled or being compiled. Lives as long as its library.
class Kernel {
 public:
  const std::string& name() const { return name_; }
  const SpecConstants& constants() const { return constants_; }
  // These wait until it is compiled. They throw Error with what the driver said where it could not be. REQUIRES: not deferred.
  const CompiledKernel& compiled() const { return compiled_.get(); }
  void bind(VkCommandBuffer commands) const;
  VkPipelineLayout layout() const { return layout_; }
  // Whether compiled() would not wait.
  bool is_ready() const { return compiled_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  friend class KernelLibrary;
  std::string name_;
  SpecConstants constants_;
  std::shared_future<CompiledKernel> compiled_;
  const ShaderObjects* objects_ = nullptr;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
};

class KernelLibrary {
 public:
  // `shaders` and what they point at outlive the library.
  KernelLibrary(Device& device, std::span<const EmbeddedShader> shaders);
  ~KernelLibrary();
  KernelLibrary(const KernelLibrary&) = delete;
  KernelLibrary& operator=(const KernelLibrary&) = delete;

  // The kernel `name` with these constants. The first call for it has it compiled beside the caller, as many at a time as
  // there are processors: compiled() waits. `subgroup_size` 0 leaves the choice to the driver; another value is required of it (REQUIRES:
  // within the device's range), unless the kernel does nothing with its subgroup and DeviceCaps::fits_subgroups_to_registers. Not thread-safe.
  const Kernel& get(std::string_view name, const SpecConstants& constants = {}, uint32_t subgroup_size = 0);

  // Every kernel asked for so far, by name and constants.
  std::vector<const Kernel*> all() const;
  // Waits until nothing is being compiled, so that a measurement has the processors to itself; starts what was deferred, and ends
  // deferring. Failures are left to compiled().
  void wait();

  // Between defer() and stop_deferring() a kernel that get() sees for the first time is not compiled yet. It is when get() is asked for it
  // again later, or else by start_deferred(): so kernels that are needed first can be compiled first.
  void defer() { defers_ = true; }
  void stop_deferring() { defers_ = false; }
  // Whether machine code of all deferred kernels is kept from an earlier start, so that they are ready in a moment.
  bool has_kept_deferred() const;
  void start_deferred();

  Device& device() const { return device_; }
  // Writes what is compiled by now to the pipeline cache on disk, if it is news; a cache that cannot be written costs compile time, never a
  // run. The destructor does so, too.
  void save_cache();

 private:
  struct Key {
    std::string name;
    SpecConstants constants;
    uint32_t subgroup_size;
    auto operator<=>(const Key&) const = default;
  };
  VkShaderModule module_of(const EmbeddedShader& shader);
  using Task = std::packaged_task<CompiledKernel()>;
  struct Deferred {
    Key key;
    const EmbeddedShader* shader;
    std::shared_ptr<Task> task;
  };
  void start(const std::shared_ptr<Task>& task);
  CompiledKernel compile(const Key& key, const EmbeddedShader& shader, VkShaderModule module) const;
  VkPipeline compile_pipeline(const Key& key, const VkSpecializationInfo& specialization, VkShaderModule module) const;
  size_t count_compiled() const;

  Device& device_;
  std::span<const EmbeddedShader> shaders_;
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // none when statistics are wanted: a pipeline from a cache may have lost its own
  VkPipelineLayout layout_ = VK_NULL_HANDLE;  // one for all: push constants and nothing else
  std::unique_ptr<ShaderObjects> objects_;    // instead of pipelines, or none
  std::map<std::string, VkShaderModule, std::less<>> modules_;
  std::map<Key, Kernel> kernels_;
  size_t saved_kernels_ = 0;          // are in the cache on disk
  bool defers_ = false;
  std::deque<Deferred> deferred_;     // in the order in which they were asked for
  std::unique_ptr<TaskPool> compiler_;  // last: what it runs uses the rest
};

}  // namespace lapilli
