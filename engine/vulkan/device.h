#pragma once
// A Vulkan device: instance, choice of physical device, one compute queue, and capabilities.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/vulkan/vk_check.h"

namespace lapilli {

// The family of kernels for a device; see shaders/matmul/matmul_*.comp.
enum class KernelClass {
  cpu,  // register tiles, no shared memory: for CPU drivers
  tiled,   // shared-memory tiles: any GPU
  coopmat,  // cooperative matrices (KHR) of a subgroup, 16-bit operands: matmul and attention in f16 or bf16
  coopmat2,  // cooperative matrices of a workgroup (NV), 16-bit operands in memory: matmul, if faster or forced
};
constexpr KernelClass kKernelClasses[] = {KernelClass::cpu, KernelClass::tiled, KernelClass::coopmat, KernelClass::coopmat2};
const char* to_string(KernelClass kernel_class);

// Shape of a cooperative matrix product, [rows,depth] [depth,cols], with f32 accumulators. All 0: not supported.
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

  uint32_t subgroup_size = 0;                                // used by kernels; required of a driver that has a choice
  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;
  bool compiler_picks_subgroup_size = false;  // the compiler picks the size by register use unless told
  uint32_t max_workgroup_invocations = 0, max_groups_x = 0;
  uint32_t max_shared_bytes = 0;
  uint64_t max_allocation_bytes = 0;                         // one VkDeviceMemory / one VkBuffer
  // Readable padding behind every buffer. Mesa 26.1's lavapipe runs the body of a loop once more after its end, with
  // all lanes off, and still executes loads from a uniform address: a row or a block beyond the last.
  uint64_t overread_padding_bytes = 0;
  uint64_t memory_bytes = 0;                                 // size of the heap for arenas
  uint64_t available_bytes = 0;  // free memory of that heap (VK_EXT_memory_budget), else memory_bytes
  double timestamp_period_ns = 0;                            // 0: no timestamps
  uint32_t timestamp_bits = 0;                               // valid bits of a timestamp

  bool unified_memory = false;  // the host can write memory that kernels read at full speed: no staging
  bool int64 = false, float16 = false, storage16 = false;
  bool fast_64bit_loads = false;  // kernels *_cpu_load64 may be used: 64-bit integers, and a driver that handles them
  bool bfloat16 = false, cooperative_matrix = false;
  MatrixShape matrix_f16, matrix_bf16;  // the cooperative matrices our kernels use, by operand type
  bool cooperative_matrix2 = false;     // with all features we use: workgroup scope, flexible dimensions, tensor
                                        // addressing, per-element operations, reductions
  // Granularity of rows, columns and depth of workgroup matrices that works for workgroups of 128 and of 256, by
  // operand type; none: not supported, or not for both sizes.
  MatrixShape workgroup_matrix_f16, workgroup_matrix_bf16;
  uint32_t max_matrix_dimension = 0;    // of workgroup matrices
  uint32_t matrix_shared_bytes = 0;     // shared memory that the driver reserves for them, out of max_shared_bytes

  // Compile kernels as shader objects with cached binaries (engine/kernel/shader_objects.h) instead of pipelines.
  bool shader_objects = false;

  KernelClass kernel_class = KernelClass::tiled;  // of f32 matmuls: cpu or tiled. 16-bit ones use the matrices above
  std::optional<KernelClass> forced_class;        // DeviceOptions::kernel_class
};

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
// Throws Error with how to install a driver when there is none.
std::vector<DeviceCaps> list_devices();

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
  void destroy_instance();

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
