#pragma once
// The kernels of a matmul that a device has.

#include <optional>
#include <string>

#include "engine/memory/dtype.h"
#include "engine/vulkan/device.h"

namespace lapilli {

// A kernel and its tile config.
struct MatmulKernel {
  KernelClass kernel_class;
  // Rows of the tile of a workgroup (cpu: rows of a lane; 8, 32 or 64), 0: by the shape. Tiled and coopmat have
  // square tiles of 32, 64 or 128; coopmat2 has 64, 128 or 256 rows.
  uint32_t tile = 0;
  bool load64 = true;   // cpu: 64-bit loads where the device and the alignment of a and b allow them
  Precision precision = Precision::f32;  // coopmat and coopmat2: f16 or bf16
  // Columns of the tile. coopmat2: at most 256 with 128 rows, or 128 with 256; cpu: vectors of columns, 2 or 4; 0:
  // by `tile`.
  uint32_t tile_cols = 0;
  bool emulated = false;   // coopmat2: in plain GLSL, for tests without VK_NV_cooperative_matrix2
  bool transposes = false;  // coopmat: operands not contiguous along K are transposed on the way to shared memory
  uint32_t splits = 0;     // split-K: parts of the depth, where Ops has a workspace; 0: by the shape
  bool uses_coopmat() const { return kernel_class == KernelClass::coopmat || kernel_class == KernelClass::coopmat2; }
  std::string to_string() const;  // "coopmat 64x64 transposing in 4 parts"
};
// The default kernel of a device for this precision. Throws Error when the device or this build has none. Never
// coopmat2, which has not yet run on a driver with the extension: it is used only where a measurement finds it correct
// and faster, or MatmulOptions::force requests it.
MatmulKernel matmul_kernel(const DeviceCaps& caps, Precision precision);
// The kernel of the same class that compiles fastest, if it gives the same bits: small register tiles on CPU drivers.
// Otherwise `kernel` itself.
MatmulKernel quick_matmul_kernel(MatmulKernel kernel);
// The cooperative matrix shape of the device for 16-bit operands of this precision; all 0: not supported.
MatrixShape matrix_shape(const DeviceCaps& caps, Precision precision);
// Whether matmul_kernel() has a kernel.
bool has_matmul(const DeviceCaps& caps, Precision precision);
// Depth of a stage of coopmat2 kernels.
constexpr uint32_t kCoopmat2Depth = 64;
// Why the device or this build has no coopmat2 in this precision; empty when it has.
std::optional<std::string> why_no_coopmat2(const DeviceCaps& caps, Precision precision);

}  // namespace lapilli
