#pragma once
// A Vulkan device: instance, choice of physical device, one compute queue, and what the device can do.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/vulkan/vk_check.h"

namespace lapilli {

// The family of kernels a device is given; see shaders/matmul_*.comp.
enum class KernelClass {
  scalar,  // register tiles, no shared memory: drivers that run on a CPU
  tiled,   // shared-memory tiles: any GPU
  coopmat,  // cooperative matrices (KHR), 16-bit factors: matrix products only, where they are asked for
  coopmat2,  // cooperative matrices of whole workgroups (NV), 16-bit operands in memory: products only, where measured to be faster, or forced
};
const char* to_string(KernelClass kernel_class);

// What a subgroup multiplies at once, [rows,depth] [depth,cols], with f32 sums. All 0: nothing.
struct MatrixShape {
  uint32_t rows = 0, cols = 0, depth = 0;
  explicit operator bool() const { return rows != 0; }
};

struct DeviceCaps {
  std::string name;
  std::string driver;          // name and version as the driver gives them
  std::string api_version;     // "1.3.305"
  std::string uuid;            // 32 hex digits
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  uint32_t vendor_id = 0, device_id = 0, driver_version = 0;

  uint32_t subgroup_size = 0;                                // what kernels are made for, and ask for where there is a choice
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;
  bool fits_subgroups_to_registers = false;  // the compiler, left to itself, takes as many lanes as it has registers for
  uint32_t max_workgroup_invocations = 0, max_groups_x = 0;
  uint32_t max_shared_bytes = 0;
  uint64_t max_allocation_bytes = 0;                         // one VkDeviceMemory / one VkBuffer
  // Memory that is kept readable behind every buffer. Mesa 26.1's lavapipe goes once more through the body of a loop that has ended, with
  // all lanes off, and what it loads there at an address that all lanes share it loads all the same: a row or a block beyond the last.
  uint64_t read_ahead_bytes = 0;
  uint64_t memory_bytes = 0;                                 // the heap that arenas live in
  uint64_t available_bytes = 0;                              // what is left of it now (VK_EXT_memory_budget), else memory_bytes
  double timestamp_period_ns = 0;                            // 0: no timestamps
  uint32_t timestamp_bits = 0;                               // of a timestamp that count

  bool unified_memory = false;  // the host can write what kernels read at full speed: no staging
  bool int64 = false, float16 = false, storage16 = false;
  bool fast_pair_loads = false;  // kernels *_scalar_pairs may be used: 64-bit integers, and a driver it is right on
  bool bfloat16 = false, cooperative_matrix = false;
  MatrixShape matrix_f16, matrix_bf16;  // the cooperative matrices our kernels use, by the type of the factors
  bool cooperative_matrix2 = false;     // with all that our kernels need: matrices of workgroups, of any dimensions, tensor
                                        // addressing, operations on elements, reductions
  // What the rows, columns and depth of a workgroup's matrices are multiples of, in workgroups of 128 and of 256, by the type of the
  // factors; none: not multiplied, or not by both.
  MatrixShape workgroup_matrix_f16, workgroup_matrix_bf16;
  uint32_t max_matrix_dimension = 0;    // of a workgroup's matrices
  uint32_t matrix_shared_bytes = 0;     // shared memory that the driver keeps for them, out of max_shared_bytes

  // Kernels are made as shader objects, whose binaries are kept (engine/kernel/shader_objects.h), instead of pipelines.
  bool shader_objects = false;

  KernelClass kernel_class = KernelClass::tiled;
};

struct DeviceOptions {
  std::string selector;     // index, UUID or part of the name; empty: best discrete GPU, then integrated, then CPU
  bool validation = false;  // Khronos validation, core and synchronization; messages are counted and printed
  bool staging = false;     // treat unified memory as a discrete card's: every transfer through a staging buffer (tests)
  // Kernels can be asked for the driver's statistics (engine/kernel/pipeline_statistics.h); they are compiled afresh each time, without
  // the cache on disk.
  bool pipeline_statistics = false;
  // Kernels are compiled and memory is planned, but none is allocated and nothing can run: for looking at what a driver makes
  // of large models, or without a GPU (Mesa's RADV has a compiler and no memory then).
  bool record_only = false;
};

// Every Vulkan device that can run Lapilli, in the loader's order (the index of --device).
// Throws Error saying how to get a driver when there is none at all.
std::vector<DeviceCaps> list_devices();

class Device {
 public:
  // Throws Error when the selector matches nothing, or the driver lacks what the options ask for.
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

  // Bytes of device memory held by Buffers of this device, now and at most so far.
  uint64_t allocated_bytes() const { return allocated_bytes_; }
  uint64_t peak_allocated_bytes() const { return peak_allocated_bytes_; }
  uint64_t allocation_count() const { return allocation_count_; }
  // Free bytes of the arena heap at this moment, as the driver says.
  uint64_t query_available_bytes() const;

  // Multiply-adds that this device was seen to do, FLOP/s; 0: nobody has looked. Programs recorded later are cut into submissions by it.
  void note_flops_per_s(double rate) { noted_flops_per_s_ = rate; }
  double noted_flops_per_s() const { return noted_flops_per_s_; }

  // A moment in both clocks: the device's timestamp and the host's steady clock, at most deviation_ns apart.
  struct ClockPair {
    uint64_t ticks = 0;
    int64_t host_ns = 0;
    uint64_t deviation_ns = 0;
  };
  // None where the driver has no calibrated timestamps.
  std::optional<ClockPair> read_clocks() const;

  // Messages of the validation layer so far (warnings and errors); 0 without validation.
  uint64_t validation_messages() const;

  void wait_idle() const;

 private:
  friend class Buffer;
  void note_allocation(int64_t bytes);

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
  double noted_flops_per_s_ = 0;
  uint64_t allocated_bytes_ = 0, peak_allocated_bytes_ = 0, allocation_count_ = 0;
};

}  // namespace lapilli
