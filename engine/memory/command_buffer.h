#pragma once
// Command buffers by RAII. Internal to the engine.

#include <functional>

#include "engine/vulkan/device.h"

namespace lapilli {

class CommandPool {
 public:
  explicit CommandPool(Device& device);
  ~CommandPool();
  CommandPool(const CommandPool&) = delete;
  CommandPool& operator=(const CommandPool&) = delete;

  VkCommandBuffer begin();                 // recording has started
  static void end(VkCommandBuffer commands);

 private:
  Device& device_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
};

// What was done on the device: by kernels alone, or by transfers (copies, fills) too. After kernels alone a driver may have less to flush.
enum class DeviceWork { kernels, kernels_and_transfers };
// What `done` wrote before is there for whatever kernels and transfers come after, and they begin when it has read.
void order_work(VkCommandBuffer commands, DeviceWork done);
// What was written before is there for the host once the device has come so far.
void show_to_host(VkCommandBuffer commands);

// Records, submits and waits, after all that was submitted before; what it writes the host may read. For set-up only.
void run_once(Device& device, const std::function<void(VkCommandBuffer)>& record);

}  // namespace lapilli
