#pragma once
// A Vulkan device: instance, choice of physical device, one compute queue, and capabilities.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/vulkan/device_caps.h"

namespace lapilli {

struct DeviceOptions {
  std::string selector;     // index, UUID or part of the name; empty: best discrete GPU, then integrated, then CPU
  bool validation = false;  // Khronos validation, core and synchronization; messages are counted and printed
  bool staging = false;     // use staging buffers on unified memory too, as on a discrete GPU (tests)
  // Enables the driver's kernel statistics (engine/kernel/pipeline_statistics.h). Kernels are then compiled each time,
  // without the disk cache.
  bool pipeline_statistics = false;
  // Compiles kernels and plans memory, but allocates and runs nothing: to inspect what a driver compiles for large
  // models, or to compile without a GPU (Mesa's RADV then has a compiler but no memory).
  bool record_only = false;
  // Overrides the family of kernels for the device's type: limits the caps to those of a device with this family. cpu, tiled: no 16-bit
  // matmuls. coopmat, coopmat2: 16-bit matmuls use cooperative matrices (coopmat2: of workgroups wherever the operands allow), and f32
  // matmuls are tiled, as on a GPU.
  std::optional<KernelClass> kernel_class = std::nullopt;
};

// Every Vulkan device that can run Lapilli, in the loader's order (the index of --device).
// Throws Error with how to install a driver when there is none. `refused`, if not null, receives a sentence for every
// device that cannot run Lapilli.
std::vector<DeviceCaps> list_devices(std::vector<std::string>* refused = nullptr);

class Device {
 public:
  // Throws Error when the selector matches nothing, or the device lacks what the options require.
  explicit Device(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceCaps& caps() const { return caps_; }
  VkDevice handle() const { return device_; }
  VkPhysicalDevice physical() const { return physical_; }
  VkQueue queue() const { return queue_; }
  uint32_t queue_family() const { return queue_family_; }
  bool has_pipeline_statistics() const { return pipeline_statistics_; }
  bool record_only() const { return record_only_; }

  // Bytes of device memory held by Buffers of this device, now and at the peak.
  uint64_t allocated_bytes() const { return allocated_bytes_; }
  uint64_t peak_allocated_bytes() const { return peak_allocated_bytes_; }
  uint64_t allocation_count() const { return allocation_count_; }
  // Free bytes of the arena heap now, as the driver reports.
  uint64_t query_available_bytes() const;

  // Measured peak of multiply-adds, FLOP/s; 0: not measured. Programs recorded later are split into submissions by it.
  void set_measured_peak(double rate) { measured_peak_flops_per_s_ = rate; }
  double measured_peak_flops_per_s() const { return measured_peak_flops_per_s_; }

  // One time in both clocks: the device's timestamp and the host's steady clock, at most deviation_ns apart.
  struct ClockPair {
    uint64_t ticks = 0;
    int64_t host_ns = 0;
    uint64_t deviation_ns = 0;
  };
  // Empty when the driver has no calibrated timestamps.
  std::optional<ClockPair> read_clocks() const;

  // Messages of the validation layer so far (warnings and errors); 0 without validation.
  uint64_t validation_messages() const;

  void wait_idle() const;

 private:
  friend class Buffer;
  void track_allocation(int64_t bytes);
  void choose(const DeviceOptions& options);
  void create();
  void destroy();  // device, messenger and instance, as far as they exist

  struct Validation;
  std::unique_ptr<Validation> validation_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  uint32_t queue_family_ = 0;
  bool pipeline_statistics_ = false, record_only_ = false;
  PFN_vkGetCalibratedTimestampsEXT read_clocks_ = nullptr;  // or none
  DeviceCaps caps_;
  double measured_peak_flops_per_s_ = 0;
  uint64_t allocated_bytes_ = 0, peak_allocated_bytes_ = 0, allocation_count_ = 0;
};

}  // namespace lapilli
