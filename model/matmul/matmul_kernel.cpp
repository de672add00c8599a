#include "model/matmul/matmul_kernel.h"

#include "engine/base/error.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

std::string coopmat_shader(Precision precision) { return std::string("matmul_coopmat_") + to_string(precision); }

}  // namespace

std::string MatmulKernel::to_string() const {
  std::string text = lapilli::to_string(kernel_class);
  if (tile != 0) text += fmt::format(" {}x{}", tile, tile_cols != 0 ? tile_cols : tile);
  if (transposes) text += " transposing";
  return splits > 1 ? text + fmt::format(" in {} parts", splits) : text;
}

MatrixShape matrix_shape(const DeviceCaps& caps, Precision precision) {
  return precision == Precision::f16 ? caps.matrix_f16 : precision == Precision::bf16 ? caps.matrix_bf16 : MatrixShape{};
}

bool has_matmul(const DeviceCaps& caps, Precision precision) {
  return precision == Precision::f32 || (matrix_shape(caps, precision) && has_shader(coopmat_shader(precision)));
}

MatmulKernel matmul_kernel(const DeviceCaps& caps, Precision precision) {
  if (precision == Precision::f32) return {caps.kernel_class};
  if (caps.forced_class == KernelClass::cpu || caps.forced_class == KernelClass::tiled)
    throw Error("{} kernels are forced, and they support f32 only; {} needs coopmat", to_string(*caps.forced_class), to_string(precision));
  if (!matrix_shape(caps, precision))
    throw Error("{} does not support {} matrices with f32 accumulation (VK_KHR_cooperative_matrix); f32 works everywhere", caps.name,
                to_string(precision));
  if (!has_shader(coopmat_shader(precision)))
    throw Error("this program was built with a shader compiler without {} matrices; build it again with a glslc that supports {}",
                to_string(precision), precision == Precision::f16 ? "GL_KHR_cooperative_matrix" : "GL_EXT_bfloat16");
  // Not coopmat2, even if the device has it: it was only tested emulated so far. KernelTuner chooses it if it is
  // correct and faster.
  constexpr uint32_t kAmd = 0x1002;  // see shaders/matmul/matmul_coopmat.glsl
  return {.kernel_class = KernelClass::coopmat, .precision = precision, .transposes = caps.vendor_id == kAmd};
}

MatmulKernel quick_matmul_kernel(MatmulKernel kernel) {
  if (kernel.kernel_class == KernelClass::cpu) kernel.tile = 8;  // K in ascending order in all of them
  return kernel;
}

std::optional<std::string> why_no_coopmat2(const DeviceCaps& caps, Precision precision) {
  if (precision == Precision::f32) return "coopmat2 supports f16 and bf16";
  const MatrixShape grain = precision == Precision::f16 ? caps.workgroup_matrix_f16 : caps.workgroup_matrix_bf16;
  if (!grain || !caps.storage16)
    return fmt::format(
        "{} does not support workgroup-scope {} matrices (VK_NV_cooperative_matrix2 with workgroup scope, flexible "
        "dimensions, tensor addressing, operations on elements and reductions)",
        caps.name, to_string(precision));
  if (64 % grain.rows != 0 || 64 % grain.cols != 0 || kCoopmat2Depth % grain.depth != 0 || caps.max_matrix_dimension < 256)
    return fmt::format("{} supports workgroup-scope {} matrices in multiples of {} x {} x {} up to {}; coopmat2 needs 64 to 256", caps.name,
                       to_string(precision), grain.rows, grain.cols, grain.depth, caps.max_matrix_dimension);
  if (!has_shader(std::string("matmul_coopmat2_") + to_string(precision)))
    return fmt::format("this program was built with a shader compiler without workgroup-scope matrices; build it again with a glslc that supports {}",
                       precision == Precision::f16 ? "GL_NV_cooperative_matrix2" : "GL_NV_cooperative_matrix2 and GL_EXT_bfloat16");
  return std::nullopt;
}

}  // namespace lapilli
