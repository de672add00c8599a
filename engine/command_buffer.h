#pragma once
// Command buffers by RAII. Internal to the engine.

#include <functional>

#include "engine/device.h"

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

// Records, submits and waits. For set-up only.
void run_once(Device& device, const std::function<void(VkCommandBuffer)>& record);

}  // namespace lapilli
