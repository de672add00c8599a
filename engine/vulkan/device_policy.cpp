#include "engine/vulkan/device_policy.h"

#include <algorithm>

#include "engine/base/environment.h"

namespace lapilli {

namespace {

constexpr uint32_t kIntel = 0x8086;  // PCI vendor ID

}  // namespace

// Mesa's CPU driver uses twice the SIMD width with this setting, on processors with AVX-512 (measured; README). It
// reads the variable once, when the instance is created.
void prepare_driver_environment() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) set_environment_if_unset("LP_NATIVE_VECTOR_WIDTH", "512");
#endif
}

void apply_policy(DeviceCaps& caps, const MatrixFeatures& matrices) {
  const bool is_cpu = caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  caps.kernel_class = is_cpu ? KernelClass::cpu : KernelClass::tiled;
  // Intel drivers report 32 lanes, where a lane has half the registers: 32 words before Xe2, 64 since. Our kernels need more.
  if (caps.vendor_id == kIntel && !is_cpu) {
    caps.subgroup_size = std::clamp(16U, caps.min_subgroup_size, caps.max_subgroup_size);
    caps.compiler_picks_subgroup_size = true;
  }
  caps.unified_memory = is_cpu || caps.type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  caps.fast_64bit_loads = caps.int64;
  // Mesa's lavapipe compiles at the first dispatch, and its pipeline cache keeps no machine code.
  caps.shader_objects = caps.has_shader_objects && caps.driver_id == VK_DRIVER_ID_MESA_LLVMPIPE;
  // Our kernels also read and write 16-bit memory; every device with matrices supports it.
  if (caps.float16 && caps.storage16) caps.matrix_f16 = matrices.f16;
  if (caps.storage16) caps.matrix_bf16 = matrices.bf16;
  if (caps.matrix_f16) caps.workgroup_matrix_f16 = matrices.workgroup_f16;
  if (caps.matrix_bf16 && caps.matrix_f16) caps.workgroup_matrix_bf16 = matrices.workgroup_bf16;  // their SPIR-V requires f16 too
}

void force_kernel_class(DeviceCaps& caps, KernelClass kernel_class) {
  const auto require = [&](bool has, const std::string& what) {
    if (!has) throw Error("{} cannot run {} kernels: {}; choose others, or another device", caps.name, to_string(kernel_class), what);
  };
  if (kernel_class != KernelClass::cpu) {
    require(caps.max_shared_bytes >= kTiledSharedBytes,
            fmt::format("it has {} KiB of shared memory, {} are needed", caps.max_shared_bytes / 1024, kTiledSharedBytes / 1024));
    require(caps.max_workgroup_invocations >= kTiledThreads,
            fmt::format("its workgroups have at most {} threads, {} are needed", caps.max_workgroup_invocations, kTiledThreads));
  }
  if (kernel_class == KernelClass::coopmat)
    require(caps.matrix_f16 || caps.matrix_bf16, "it does not multiply f16 or bf16 matrices with f32 sums (VK_KHR_cooperative_matrix)");
  if (kernel_class == KernelClass::coopmat2)
    require(caps.cooperative_matrix2 && (caps.workgroup_matrix_f16 || caps.workgroup_matrix_bf16),
            "it does not multiply f16 or bf16 matrices of whole workgroups (VK_NV_cooperative_matrix2)");
  const bool of_matrices = kernel_class == KernelClass::coopmat || kernel_class == KernelClass::coopmat2;
  if (!of_matrices) caps.cooperative_matrix = false, caps.matrix_f16 = caps.matrix_bf16 = {};
  if (kernel_class != KernelClass::coopmat2) caps.cooperative_matrix2 = false, caps.workgroup_matrix_f16 = caps.workgroup_matrix_bf16 = {};
  caps.kernel_class = kernel_class == KernelClass::cpu ? KernelClass::cpu : KernelClass::tiled;
  caps.forced_class = kernel_class;
}

int device_preference(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 4;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 3;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return 1;
    default: return 0;
  }
}

}  // namespace lapilli
