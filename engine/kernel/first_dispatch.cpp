#include "engine/kernel/first_dispatch.h"

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/kernel/shader_objects.h"
#include "engine/memory/command_buffer.h"

namespace lapilli {

struct FirstDispatch::Context {
  explicit Context(const std::string& selector) : device({.selector = selector}), objects(device, ShaderObjects::DiskCache::off) {
    const VkPipelineLayoutCreateInfo info{.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
    vk_check(vkCreatePipelineLayout(device.handle(), &info, nullptr, &layout), "vkCreatePipelineLayout");
  }
  ~Context() { vkDestroyPipelineLayout(device.handle(), layout, nullptr); }

  Device device;
  ShaderObjects objects;
  VkPipelineLayout layout = VK_NULL_HANDLE;
};

FirstDispatch::FirstDispatch(const Device& device) : selector_(device.caps().uuid) {}

FirstDispatch::~FirstDispatch() = default;

std::unique_ptr<FirstDispatch::Context> FirstDispatch::take() {
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Context> context = std::move(idle_.back());
      idle_.pop_back();
      return context;
    }
  }
  return std::make_unique<Context>(selector_);
}

void FirstDispatch::run(std::span<const std::byte> binary, const VkSpecializationInfo& specialization, const VkPushConstantRange& push) {
  try {
    std::unique_ptr<Context> context = take();
    const VkShaderEXT object = context->objects.create_from_binary(binary, specialization, push);
    if (object != VK_NULL_HANDLE) {
      run_once(context->device, [&](VkCommandBuffer commands) {
        context->objects.bind(commands, object);
        vkCmdDispatch(commands, 0, 1, 1);
      });
      context->objects.destroy(object);
    }
    const std::scoped_lock lock(mutex_);
    idle_.push_back(std::move(context));
  } catch (const Error& error) {
    log_debug("a kernel is not compiled ahead: {}", error.what());
  }
}

}  // namespace lapilli
