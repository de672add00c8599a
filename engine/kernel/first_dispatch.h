#pragma once
// A driver that turns a kernel into machine code only when it is first dispatched does so on its queue's one thread, one kernel after the
// other: Mesa's lavapipe. But it keeps the code in a cache on disk. So a kernel is dispatched once, with no workgroup, on a device of its own
// beside the one that works, as many at a time as threads ask; the device that works then finds the code. Internal to the engine.
//
// What a kernel computes does not depend on it: the code is the same, whoever compiles it.

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/vulkan/device.h"

namespace lapilli {

class ShaderObjects;

class FirstDispatch {
 public:
  // Devices like `device` are made as they are needed.
  explicit FirstDispatch(const Device& device);
  ~FirstDispatch();
  FirstDispatch(const FirstDispatch&) = delete;
  FirstDispatch& operator=(const FirstDispatch&) = delete;

  // Has the driver compile a kernel, given as the binary of a shader object, and waits for that. Whatever fails costs time later, never a
  // run. May be called from many threads.
  void run(std::span<const std::byte> binary, const VkSpecializationInfo& specialization, const VkPushConstantRange& push);

 private:
  struct Context;
  std::unique_ptr<Context> take();

  std::string selector_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Context>> idle_;
};

}  // namespace lapilli
