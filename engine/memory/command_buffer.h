#pragma once
// RAII command buffers. Internal to the engine.

#include <functional>

#include "engine/vulkan/device.h"

namespace lapilli {

class CommandPool {
 public:
  explicit CommandPool(Device& device);
  ~CommandPool();
  CommandPool(const CommandPool&) = delete;
  CommandPool& operator=(const CommandPool&) = delete;

  VkCommandBuffer begin();                 // a command buffer in the recording state
  static void end(VkCommandBuffer commands);

 private:
  Device& device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
};

// What a barrier waits for: kernels only, or transfers (copies, fills) too. After kernels only, a driver may flush
// less.
enum class DeviceWork { kernels, kernels_and_transfers };
// Makes earlier writes of `done` visible to later kernels and transfers, which start after earlier reads have finished.
void memory_barrier(VkCommandBuffer commands, DeviceWork done);
// Makes earlier writes visible to the host once the device has reached this point.
void host_read_barrier(VkCommandBuffer commands);

// Records, submits and waits, after all earlier submissions; the host may read what it wrote. For set-up only.
void run_once(Device& device, const std::function<void(VkCommandBuffer)>& record);

}  // namespace lapilli
