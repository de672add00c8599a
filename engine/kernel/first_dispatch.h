#pragma once
// Compiles kernels in parallel on drivers that compile at the first dispatch, such as Mesa's lavapipe. Such a driver
// compiles on the queue's single thread, one kernel after the other, but keeps the machine code in a cache on disk. So
// each kernel is dispatched once, with no workgroup, on a separate device, one device per calling thread; the main
// device then finds the code in the cache. Internal to the engine.
//
// Results do not depend on it: the machine code is the same whichever device compiles it.

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
  // Creates devices like `device` on demand.
  explicit FirstDispatch(const Device& device);
  ~FirstDispatch();
  FirstDispatch(const FirstDispatch&) = delete;
  FirstDispatch& operator=(const FirstDispatch&) = delete;

  // Compiles a kernel, given as the binary of a shader object, and waits for it. A failure only delays the compilation;
  // it never ends a run. Thread-safe.
  void run(std::span<const std::byte> binary, const VkSpecializationInfo& specialization, const VkPushConstantRange& push);

 private:
  struct Context;
  std::unique_ptr<Context> take();

  std::string selector_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Context>> idle_;
};

}  // namespace lapilli
