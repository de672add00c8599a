#pragma once
// Kernels: embedded SPIR-V + specialization constants -> machine code, cached on disk between runs: as pipelines, or as
// shader objects where a driver's pipeline cache stores nothing.

#include <atomic>
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

constexpr uint32_t kMaxPushBytes = 128;  // the minimum that Vulkan guarantees

// Ids are the SPEC_* names of shaders/common/args.h.
struct SpecConstant {
  uint32_t id;
  uint32_t value;
  auto operator<=>(const SpecConstant&) const = default;
};
using SpecConstants = std::vector<SpecConstant>;

class ShaderObjects;
class ThreadPool;

// Exactly one of the two is set.
struct CompiledKernel {
  VkPipeline pipeline = VK_NULL_HANDLE;
  VkShaderEXT object = VK_NULL_HANDLE;
  bool operator==(const CompiledKernel&) const = default;
};

// A kernel, compiled or being compiled. Valid as long as its library.
class Kernel {
 public:
  const std::string& name() const { return name_; }
  const SpecConstants& constants() const { return constants_; }
  // These two block until the kernel is compiled. They throw Error with the driver's message when it cannot be
  // compiled. REQUIRES: not deferred.
  const CompiledKernel& compiled() const { return compiled_.get(); }
  void bind(VkCommandBuffer commands) const;
  VkPipelineLayout layout() const { return layout_; }
  // Whether compiled() returns without blocking.
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
  // `shaders` and the memory they point at must outlive the library.
  KernelLibrary(Device& device, std::span<const EmbeddedShader> shaders);
  ~KernelLibrary();
  KernelLibrary(const KernelLibrary&) = delete;
  KernelLibrary& operator=(const KernelLibrary&) = delete;

  // The kernel `name` with these constants. The first call starts its compilation in the background, on as many threads
  // as there are processors; compiled() blocks. `subgroup_size` 0 leaves the choice to the driver. Otherwise
  // the driver must use this size (REQUIRES: supported), except for a kernel without subgroup operations when
  // DeviceCaps::compiler_picks_subgroup_size is set. Not thread-safe.
  const Kernel& get(std::string_view name, const SpecConstants& constants = {}, uint32_t subgroup_size = 0);

  // Every kernel requested so far, by name and constants.
  std::vector<const Kernel*> all() const;
  // Ends deferring, starts deferred kernels and blocks until nothing is being compiled, so that a measurement has the
  // processors to itself. compiled() reports failures.
  void wait();

  // Between defer() and stop_deferring(), get() does not start the compilation of a new kernel. A later get() of the
  // same kernel starts it, or else start_deferred(). So the kernels that are needed first can be compiled first.
  void defer() { defers_ = true; }
  void stop_deferring() { defers_ = false; }
  // Whether the machine code of all deferred kernels is in the disk cache, so that they are ready at once.
  bool has_cached_deferred() const;
  void start_deferred();

  // Kernels whose compilation was started, and those of them that are done. Thread-safe.
  struct Progress {
    size_t compiled = 0, started = 0;
  };
  Progress progress() const { return {.compiled = compiled_.load(), .started = started_.load()}; }

  Device& device() const { return device_; }
  // Writes the kernels compiled so far to the pipeline cache on disk, if there are new ones. A failed write costs
  // compile time at the next start and never ends a run. The destructor calls it too.
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
  VkPipelineCache cache_ = VK_NULL_HANDLE;  // none with pipeline statistics: a cached pipeline may lack them
  VkPipelineLayout layout_ = VK_NULL_HANDLE;  // shared by all kernels: push constants only
  std::unique_ptr<ShaderObjects> objects_;    // instead of pipelines, or none
  std::map<std::string, VkShaderModule, std::less<>> modules_;
  std::map<Key, Kernel> kernels_;
  size_t saved_kernels_ = 0;          // number of kernels in the cache on disk
  bool defers_ = false;
  std::atomic<size_t> started_ = 0, compiled_ = 0;
  std::deque<Deferred> deferred_;     // in the order of the get() calls
  std::unique_ptr<ThreadPool> compiler_;  // last member: its tasks use the others
};

}  // namespace lapilli
