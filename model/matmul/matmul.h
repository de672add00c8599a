#pragma once
// Matrix multiplication (GEMM): c = f(y), y = alpha * scale * op(a) op(b) (+ bias) (+ addend), with f32 accumulation.
// Tensors are f32. With 16-bit operands, each of a, b and c (with c also the tensors laid out like it) may be of the
// operand type too: c is then rounded when it is stored instead of when it is read.
//
// A linear layer y = x Wt with W [out, in] is matmul_nt forward; its gradients are matmul_nn (d_x = d_y W) and matmul_tn
// (d_W = d_yt x). Tensors of rank above 2 are seen as [rows, last].

#include <optional>
#include <string>

#include "model/ops/activation.h"
#include "model/ops/ops.h"
#include "model/ops/rope.h"

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
// Why the device or this build has no coopmat2 in this precision; empty when it has.
std::optional<std::string> why_no_coopmat2(const DeviceCaps& caps, Precision precision);

// The tile config of a matmul [rows, cols]: the form of the kernel, and the tile of one workgroup. The kernels are
// named <operation>_<form> (shaders/).
struct MatmulTile {
  std::string form;  // "cpu", "cpu_load64", "tiled", "coopmat_f16", "coopmat_bf16", "coopmat2_f16", ...
  bool in_blocks;    // threads hold the tile in blocks (shaders/matmul/matmul_blocks.glsl)
  uint32_t rows, cols;
  uint32_t workgroup;
  SpecConstants constants;  // SPEC_TILE_*
  uint64_t count(uint64_t problem_rows, uint64_t problem_cols) const { return ceil_div(problem_rows, rows) * ceil_div(problem_cols, cols); }
};
// The tiles of a kernel on the device, the largest first, as (tile, tile_cols) of a MatmulKernel.
std::vector<std::pair<uint32_t, uint32_t>> matmul_tiles(const DeviceCaps& caps, const MatmulKernel& kernel);
// The number of workgroups that keeps a GPU busy: a few per SM (compute unit).
constexpr uint32_t kMinWorkgroups = 128;
// Workspace for split-K partial results (Ops::workspace). Empty on a CPU driver, which needs only few workgroups.
Tensor reserve_matmul_workspace(Arena& arena, const DeviceCaps& caps);
// The stride of spread() in shaders/common/common.glsl for `count` rows, or rows of tiles. REQUIRES: count > 0.
uint32_t choose_permutation_step(uint64_t count);
// `load64_fits`: a and b are aligned for 64-bit loads (matmul_cpu_load64.glsl).
MatmulTile choose_matmul_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool load64_fits, const MatmulKernel& kernel);
// Specialization constants for the operands' memory: element types, and alignment of their rows in memory. CHECKs that
// the kernel supports the types. c and each of `like_c` (tensors laid out like c) may be empty.
SpecConstants memory_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c = {},
                               std::initializer_list<ConstTensor> like_c = {});

// The same for coopmat2 (matmul_coopmat2.cpp). CHECKs that a and b have the kernel's type and 16-byte alignment, and
// that c has that type or f32.
MatmulTile coopmat2_tile(uint32_t rows, uint32_t cols, const MatmulKernel& kernel);
SpecConstants coopmat2_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c,
                                 std::initializer_list<ConstTensor> like_c);

// Function fused into the store: an activation (model/ops/activation.h), its gradient (y is then the gradient of the
// activation's output), or rotary embedding. It needs no extra pass over memory, except for swiglu and rotary on
// kernels that do not store pairs of columns: coopmat2, the cpu one with 32-bit loads, and split-K are followed by
// swiglu_forward() or rope(). A matmul with one overwrites all of c and supports only a bias.
enum class Nonlinearity : uint32_t {
  none = args::kLinear,
  gelu = args::kGelu,                       // c = gelu(y); y, in c's type, is stored in `kept` if given
  gelu_backward = args::kGeluBackward,      // c = y gelu'(before)
  // c [M,N] = silu(gate) up; columns 2i and 2i + 1 of y [M,2N] are gate i and up i; y is stored in `kept`
  swiglu = args::kSwiglu,
  swiglu_backward = args::kSwigluBackward,  // c [M,2N] = gradients of the pairs in `before` [M,2N]
  rotary = args::kRotary,                   // rotates the first columns, see MatmulOptions::rotary
};

struct MatmulOptions {
  ConstTensor bias;    // [cols of c] or empty
  ConstTensor addend;  // shape and type of c or empty: a residual
  ConstTensor num_valid;    // u32 [1] or empty: number of valid tokens: rows of c for nn and nt (other rows are not touched),
                       // the summed dimension for tn
  float alpha = 1.0F;
  ConstTensor scale;   // [1] or empty: multiplied with alpha, for a value known only on the device
  Nonlinearity nonlinearity = Nonlinearity::none;
  Tensor kept;         // gelu: shape and type of c or empty; swiglu: y, of c's type
  ConstTensor before;  // for the gradients: the activation's input, shape and type of c
  Rotary rotary = {};
  std::optional<MatmulKernel> force = std::nullopt;  // for tests and measurements
};

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [M,K] [K,N]
void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [M,K] [N,K]t
void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [K,M]t [K,N]

}  // namespace lapilli
