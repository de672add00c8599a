#include "engine/kernel/kernel.h"

#include <algorithm>
#include <chrono>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/kernel/device_cache.h"
#include "engine/kernel/shader_objects.h"
#include "engine/kernel/thread_pool.h"

namespace lapilli {

namespace {

std::filesystem::path cache_path(const DeviceCaps& caps) { return device_cache_path(caps, "pipelines", ".bin"); }

std::vector<std::byte> load_cache(const DeviceCaps& caps) {
  try {
    return read_cached(cache_path(caps));
  } catch (const Error& error) {
    log_debug("pipeline cache not read: {}", error.what());
    return {};
  }
}

constexpr VkPushConstantRange kPush{.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .offset = 0, .size = kMaxPushBytes};

// Specialization constants in Vulkan's form.
struct Specialization {
  explicit Specialization(const SpecConstants& constants) {
    for (const SpecConstant& constant : constants) {
      entries.push_back({.constantID = constant.id, .offset = static_cast<uint32_t>(values.size() * sizeof(uint32_t)), .size = sizeof(uint32_t)});
      values.push_back(constant.value);
    }
    info = {.mapEntryCount = static_cast<uint32_t>(entries.size()),
            .pMapEntries = entries.data(),
            .dataSize = values.size() * sizeof(uint32_t),
            .pData = values.data()};
  }
  Specialization(const Specialization&) = delete;
  Specialization& operator=(const Specialization&) = delete;

  std::vector<VkSpecializationMapEntry> entries;
  std::vector<uint32_t> values;
  VkSpecializationInfo info{};
};

// Whether it is compiled without an error. Does not block.
bool is_compiled(const std::shared_future<CompiledKernel>& kernel) {
  if (kernel.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  try {
    return kernel.get() != CompiledKernel{};
  } catch (const std::exception&) {
    return false;  // reported to the caller of compiled()
  }
}

}  // namespace

void Kernel::bind(VkCommandBuffer commands) const {
  const CompiledKernel& kernel = compiled();
  if (kernel.object != VK_NULL_HANDLE) objects_->bind(commands, kernel.object);
  else vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.pipeline);
}

KernelLibrary::KernelLibrary(Device& device, std::span<const EmbeddedShader> shaders)
    : device_(device), shaders_(shaders), compiler_(std::make_unique<ThreadPool>()) {
  if (device.caps().shader_objects) {
    objects_ = std::make_unique<ShaderObjects>(device);
  } else if (!device.has_pipeline_statistics()) {
    const std::vector<std::byte> initial = load_cache(device.caps());
    const VkPipelineCacheCreateInfo cache{
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = initial.size(), .pInitialData = initial.data()};
    vk_check(vkCreatePipelineCache(device_.handle(), &cache, nullptr, &cache_), "vkCreatePipelineCache");
  }
  const VkPipelineLayoutCreateInfo layout{
      .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .pushConstantRangeCount = 1, .pPushConstantRanges = &kPush};
  vk_check(vkCreatePipelineLayout(device_.handle(), &layout, nullptr, &layout_), "vkCreatePipelineLayout");
}

KernelLibrary::~KernelLibrary() {
  compiler_.reset();  // tasks that have not started never run
  save_cache();
  for (const auto& [key, kernel] : kernels_) {
    if (!is_compiled(kernel.compiled_)) continue;
    vkDestroyPipeline(device_.handle(), kernel.compiled().pipeline, nullptr);
    if (objects_) objects_->destroy(kernel.compiled().object);
  }
  for (const auto& [name, module] : modules_) vkDestroyShaderModule(device_.handle(), module, nullptr);
  vkDestroyPipelineLayout(device_.handle(), layout_, nullptr);
  vkDestroyPipelineCache(device_.handle(), cache_, nullptr);
}

const Kernel& KernelLibrary::get(std::string_view name, const SpecConstants& constants, uint32_t subgroup_size) {
  const EmbeddedShader* shader = find_shader(shaders_, name);
  CHECK(shader != nullptr, "this build has no kernel {}", name);
  const bool any_size = device_.caps().compiler_picks_subgroup_size && !uses_subgroups(*shader);
  Key key{std::string(name), constants, any_size ? 0 : subgroup_size};
  const auto known = kernels_.find(key);
  if (known != kernels_.end()) {
    const auto deferred = std::ranges::find(deferred_, key, &Deferred::key);
    if (!defers_ && deferred != deferred_.end()) {
      start(deferred->task);
      deferred_.erase(deferred);
    }
    return known->second;
  }
  Kernel kernel;
  kernel.name_ = key.name;
  kernel.constants_ = key.constants;
  kernel.layout_ = layout_;
  kernel.objects_ = objects_.get();
  const VkShaderModule module = objects_ ? VK_NULL_HANDLE : module_of(*shader);
  const auto task = std::make_shared<Task>([this, key, shader, module] { return compile(key, *shader, module); });
  kernel.compiled_ = task->get_future().share();
  if (defers_) deferred_.push_back({key, shader, task});
  else start(task);
  return kernels_.emplace(std::move(key), std::move(kernel)).first->second;
}

std::vector<const Kernel*> KernelLibrary::all() const {
  std::vector<const Kernel*> list;
  for (const auto& [key, kernel] : kernels_) list.push_back(&kernel);
  return list;
}

void KernelLibrary::start(const std::shared_ptr<Task>& task) {
  ++started_;
  compiler_->run([this, task] {
    (*task)();
    ++compiled_;
  });
}

void KernelLibrary::start_deferred() {
  defers_ = false;
  for (const Deferred& deferred : deferred_) start(deferred.task);
  deferred_.clear();
}

bool KernelLibrary::has_cached_deferred() const {
  return objects_ && std::ranges::all_of(deferred_, [&](const Deferred& deferred) {
           const Specialization specialization(deferred.key.constants);
           return objects_->is_cached(deferred.shader->words, specialization.info, kPush);
         });
}

void KernelLibrary::wait() {
  start_deferred();
  for (const auto& [key, kernel] : kernels_) kernel.compiled_.wait();
}

VkShaderModule KernelLibrary::module_of(const EmbeddedShader& shader) {
  VkShaderModule& module = modules_[std::string(shader.name)];
  if (module == VK_NULL_HANDLE) {
    const VkShaderModuleCreateInfo info{
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader.words.size_bytes(), .pCode = shader.words.data()};
    vk_check(vkCreateShaderModule(device_.handle(), &info, nullptr, &module), "vkCreateShaderModule");
  }
  return module;
}

CompiledKernel KernelLibrary::compile(const Key& key, const EmbeddedShader& shader, VkShaderModule module) const {
  const Specialization specialization(key.constants);
  if (objects_) return {.object = objects_->create(key.name, shader.words, specialization.info, kPush)};
  return {.pipeline = compile_pipeline(key, specialization.info, module)};
}

VkPipeline KernelLibrary::compile_pipeline(const Key& key, const VkSpecializationInfo& specialization, VkShaderModule module) const {
  const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup{
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO, .requiredSubgroupSize = key.subgroup_size};
  const DeviceCaps& caps = device_.caps();
  const bool choose = key.subgroup_size != 0 && caps.min_subgroup_size != caps.max_subgroup_size;
  constexpr VkPipelineCreateFlags kCapture =
      VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
  const VkComputePipelineCreateInfo info{
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .flags = device_.has_pipeline_statistics() ? kCapture : 0,
      .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                .pNext = choose ? &subgroup : nullptr,
                .flags = key.subgroup_size != 0 ? VkFlags{VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT} : 0,
                .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = module,
                .pName = "main",
                .pSpecializationInfo = &specialization},
      .layout = layout_};
  VkPipeline pipeline = VK_NULL_HANDLE;
  vk_check(vkCreateComputePipelines(device_.handle(), cache_, 1, &info, nullptr, &pipeline),
           fmt::format("vkCreateComputePipelines ({})", key.name).c_str());
  return pipeline;
}

size_t KernelLibrary::count_compiled() const {
  return static_cast<size_t>(std::ranges::count_if(kernels_, [](const auto& entry) { return is_compiled(entry.second.compiled_); }));
}

void KernelLibrary::save_cache() {
  const size_t compiled = count_compiled();
  if (compiled == saved_kernels_ || cache_ == VK_NULL_HANDLE) return;
  saved_kernels_ = compiled;
  size_t size = 0;
  if (vkGetPipelineCacheData(device_.handle(), cache_, &size, nullptr) != VK_SUCCESS) return;
  std::vector<std::byte> data(size);
  if (vkGetPipelineCacheData(device_.handle(), cache_, &size, data.data()) != VK_SUCCESS) return;
  try {
    write_cached(cache_path(device_.caps()), data);
  } catch (const Error& error) {
    log_debug("pipeline cache not written: {}", error.what());
  }
}

}  // namespace lapilli
