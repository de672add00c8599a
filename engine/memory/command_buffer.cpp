#include "engine/memory/command_buffer.h"

namespace lapilli {

namespace {

struct Use {
  VkPipelineStageFlags2 stages;
  VkAccessFlags2 accesses;
};
constexpr VkPipelineStageFlags2 kKernels = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT, kTransfers = VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT;
constexpr Use kKernelsWrite{.stages = kKernels, .accesses = VK_ACCESS_2_SHADER_WRITE_BIT};
constexpr Use kAllWrite{.stages = kKernels | kTransfers, .accesses = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT};
constexpr Use kAllUse{.stages = kAllWrite.stages, .accesses = kAllWrite.accesses | VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_TRANSFER_READ_BIT};
constexpr Use kHostReads{.stages = VK_PIPELINE_STAGE_2_HOST_BIT, .accesses = VK_ACCESS_2_HOST_READ_BIT};

void pipeline_barrier(VkCommandBuffer commands, const Use& before, const Use& after) {
  const VkMemoryBarrier2 barrier{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
                                 .srcStageMask = before.stages,
                                 .srcAccessMask = before.accesses,
                                 .dstStageMask = after.stages,
                                 .dstAccessMask = after.accesses};
  const VkDependencyInfo dependency{.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO, .memoryBarrierCount = 1, .pMemoryBarriers = &barrier};
  vkCmdPipelineBarrier2(commands, &dependency);
}

}  // namespace

void memory_barrier(VkCommandBuffer commands, DeviceWork done) {
  pipeline_barrier(commands, done == DeviceWork::kernels ? kKernelsWrite : kAllWrite, kAllUse);
}

void host_read_barrier(VkCommandBuffer commands) { pipeline_barrier(commands, kAllWrite, kHostReads); }

CommandPool::CommandPool(Device& device) : device_(device) {
  const VkCommandPoolCreateInfo info{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = device.queue_family()};
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
  memory_barrier(commands, DeviceWork::kernels_and_transfers);
  record(commands);
  host_read_barrier(commands);
  CommandPool::end(commands);
  const VkCommandBufferSubmitInfo buffer{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = commands};
  const VkSubmitInfo2 submit{.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .commandBufferInfoCount = 1, .pCommandBufferInfos = &buffer};
  vk_check(vkQueueSubmit2(device.queue(), 1, &submit, VK_NULL_HANDLE), "vkQueueSubmit2");
  vk_check(vkQueueWaitIdle(device.queue()), "vkQueueWaitIdle");
}

}  // namespace lapilli
