#pragma once
// What we decide for a device from what it reports. Internal to the engine.

#include "engine/vulkan/cooperative_matrix.h"
#include "engine/vulkan/device_caps.h"

namespace lapilli {

// What `tiled` kernels need: attention's shared memory (shaders/attention/attention_tile.glsl) and threads of a workgroup.
constexpr uint32_t kTiledSharedBytes = 32U << 10U, kTiledThreads = 256;

// Settings of drivers that read them from the environment once, when the instance is created; what the user has set stays.
void prepare_driver_environment();

// Fills in the decisions. REQUIRES: what the driver reports is filled in, subgroup_size with the driver's default.
void apply_policy(DeviceCaps& caps, const MatrixFeatures& matrices);

// Limits the caps to kernels of this class (DeviceOptions::kernel_class). Throws Error naming what the device lacks for them.
void force_kernel_class(DeviceCaps& caps, KernelClass kernel_class);

// The default device is the first of the highest preference.
int device_preference(VkPhysicalDeviceType type);

}  // namespace lapilli
