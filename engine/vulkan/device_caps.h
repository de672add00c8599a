#pragma once
// What a device can do, and what we decided for it.

#include <cstdint>
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
  // ---- as the driver reports it (physical_device.cpp) ----
  std::string name;
  std::string driver;          // name and version as the driver gives them
  std::string api_version;     // "1.3.305"
  std::string uuid;            // 32 hex digits
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  uint32_t vendor_id = 0, device_id = 0, driver_version = 0;
  VkDriverId driver_id = {};
  uint32_t mesa_version = 0;  // major version of Mesa; 0: another driver

  uint32_t min_subgroup_size = 0, max_subgroup_size = 0;
  uint32_t max_workgroup_invocations = 0, max_groups_x = 0;
  uint32_t max_shared_bytes = 0;
  uint64_t max_allocation_bytes = 0;  // one VkDeviceMemory / one VkBuffer
  uint64_t memory_bytes = 0;          // size of the heap for arenas
  uint64_t available_bytes = 0;       // free memory of that heap (VK_EXT_memory_budget), else memory_bytes
  double timestamp_period_ns = 0;     // 0: no timestamps
  uint32_t timestamp_bits = 0;        // valid bits of a timestamp
  bool int64 = false, float16 = false, storage16 = false;
  bool bfloat16 = false, cooperative_matrix = false;
  bool cooperative_matrix2 = false;   // with all features we use: workgroup scope, flexible dimensions, tensor
                                      // addressing, per-element operations, reductions
  uint32_t max_matrix_dimension = 0;  // of workgroup matrices
  uint32_t matrix_shared_bytes = 0;   // shared memory that the driver reserves for them, out of max_shared_bytes
  bool has_shader_objects = false;    // VK_EXT_shader_object

  // ---- decisions (device_policy.cpp), after known faults of drivers (driver_quirks.cpp) ----
  KernelClass kernel_class = KernelClass::tiled;  // of f32 matmuls: cpu or tiled. 16-bit ones use the matrices below
  std::optional<KernelClass> forced_class;        // DeviceOptions::kernel_class
  uint32_t subgroup_size = 0;                     // that kernels are specialized for, and require if the device has several
  bool compiler_picks_subgroup_size = false;      // kernels without subgroup operations leave it to the driver
  bool unified_memory = false;    // the host can write memory that kernels read at full speed: no staging
  bool fast_64bit_loads = false;  // kernels *_cpu_load64 may be used
  bool shader_objects = false;    // compile shader objects with cached binaries (engine/kernel/shader_objects.h) instead of pipelines
  MatrixShape matrix_f16, matrix_bf16;  // the cooperative matrices our kernels use, by operand type
  // Granularity of rows, columns and depth of workgroup matrices that works for workgroups of 128 and of 256, by
  // operand type; none: not supported, or not for both sizes.
  MatrixShape workgroup_matrix_f16, workgroup_matrix_bf16;
  uint64_t overread_padding_bytes = 0;  // readable padding behind every buffer
  std::vector<std::string> quirks;      // names of those that apply
};

}  // namespace lapilli
