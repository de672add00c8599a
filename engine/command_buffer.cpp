#include "engine/command_buffer.h"

namespace lapilli {

CommandPool::CommandPool(Device& device) : device_(device) {
  const VkCommandPoolCreateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                     .queueFamilyIndex = device.queue_family()};
  vk_check(vkCreateCommandPool(device_.handle(), &info, nullptr, &pool_), "vkCreateCommandPool");
}

CommandPool::~CommandPool() { vkDestroyCommandPool(device_.handle(), pool_, nullptr); }

VkCommandBuffer CommandPool::begin() {
  const VkCommandBufferAllocateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                         .commandPool = pool_,
                                         .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                         .commandBufferCount = 1};
  VkCommandBuffer commands = VK_NULL_HANDLE;
  vk_check(vkAllocateCommandBuffers(device_.handle(), &info, &commands), "vkAllocateCommandBuffers");
  const VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  vk_check(vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
  return commands;
}

void CommandPool::end(VkCommandBuffer commands) { vk_check(vkEndCommandBuffer(commands), "vkEndCommandBuffer"); }

void run_once(Device& device, const std::function<void(VkCommandBuffer)>& record) {
  CommandPool pool(device);
  const VkCommandBuffer commands = pool.begin();
  record(commands);
  CommandPool::end(commands);
  const VkCommandBufferSubmitInfo buffer{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = commands};
  const VkSubmitInfo2 submit{
      .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .commandBufferInfoCount = 1, .pCommandBufferInfos = &buffer};
  vk_check(vkQueueSubmit2(device.queue(), 1, &submit, VK_NULL_HANDLE), "vkQueueSubmit2");
  vk_check(vkQueueWaitIdle(device.queue()), "vkQueueWaitIdle");
}

}  // namespace lapilli
