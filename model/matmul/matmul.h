#pragma once
// Matrix products: c = f(y), y = alpha * scale * op(a) op(b) (+ bias) (+ addend), with f32 accumulation. Tensors are f32; with factors of 16 bits
// each of a, b and c (and with c what is laid out like it) may also be of their type: rounded when c is stored instead of when it is read.
//
// A linear layer y = x Wt with W [out, in] is matmul_nt forward; its gradients are matmul_nn (d_x = d_y W) and matmul_tn
// (d_W = d_yt x). Tensors of rank above 2 are taken as [rows, last].

#include <optional>
#include <string>

#include "model/ops/activation.h"
#include "model/ops/ops.h"
#include "model/ops/rope.h"

namespace lapilli {

// A kernel other than the one that the device's class and the shape suggest.
struct MatmulKernel {
  KernelClass kernel_class;
  // Of the tile a workgroup computes (scalar: rows of a lane; 8, 32 or 64), 0: by the shape. Tiled and coopmat have square ones of 32, 64
  // or 128; coopmat2 has 64, 128 or 256 rows.
  uint32_t tile = 0;
  bool pairs = true;   // scalar: 64-bit loads where the device and the places of a and b allow them
  Precision precision = Precision::f32;  // coopmat and coopmat2: f16 or bf16
  uint32_t tile_cols = 0;  // coopmat2: columns, at most 256 with 128 rows, or 128 with 256; scalar: vectors of columns, 2 or 4; 0: by tile
  bool emulated = false;   // coopmat2: in plain GLSL, for tests without VK_NV_cooperative_matrix2
  bool transposes = false;  // coopmat: operands that do not lie along K are turned on their way to shared memory
  uint32_t splits = 0;     // parts of the depth computed side by side, where Ops has a workspace; 0: by the shape
  bool of_matrices() const { return kernel_class == KernelClass::coopmat || kernel_class == KernelClass::coopmat2; }
  std::string to_string() const;  // "coopmat 64x64 transposing in 4 parts"
};
// The kernel that a device multiplies with in this precision. Throws Error when it, or this build, cannot. Never coopmat2, which has not
// yet run on a driver with the extension: it is taken where a measurement finds it right and faster, or MatmulOptions::force asks for it.
MatmulKernel matmul_kernel(const DeviceCaps& caps, Precision precision);
// The kernel of the same class with the least code, where it gives the same bits: small register tiles on CPU drivers. Else `kernel` itself.
MatmulKernel quick_matmul_kernel(MatmulKernel kernel);
// What its subgroups multiply at once with 16-bit factors of this precision; all 0: nothing.
MatrixShape matrix_shape(const DeviceCaps& caps, Precision precision);
// Whether matmul_kernel would not throw.
bool multiplies(const DeviceCaps& caps, Precision precision);
// Why the device, or this build, has no coopmat2 in this precision; nothing where it has.
std::optional<std::string> why_no_coopmat2(const DeviceCaps& caps, Precision precision);

// How a product [rows, cols] is cut up: the form of the kernel, and the tile one workgroup computes. The kernels are
// shaders/<operation>_<form>.comp.
struct MatmulTile {
  std::string form;  // "scalar", "scalar_pairs", "tiled", "coopmat_f16", "coopmat_bf16", "coopmat2_f16", ...
  bool in_blocks;    // a workgroup ends up with its tile as shaders/matmul/matmul_blocks.glsl says
  uint32_t rows, cols;
  uint32_t workgroup;
  SpecConstants constants;  // SPEC_TILE_*
  uint64_t count(uint64_t product_rows, uint64_t product_cols) const { return ceil_div(product_rows, rows) * ceil_div(product_cols, cols); }
};
// The tiles that a kernel has on the device, the largest first, as (tile, tile_cols) of a MatmulKernel.
std::vector<std::pair<uint32_t, uint32_t>> matmul_tiles(const DeviceCaps& caps, const MatmulKernel& kernel);
// So many workgroups keep a GPU busy: a few per multiprocessor.
constexpr uint32_t kEnoughWorkgroups = 128;
// Room for partial results of split products, for Ops::workspace: empty on a CPU driver, which is busy with few workgroups.
Tensor reserve_matmul_workspace(Arena& arena, const DeviceCaps& caps);
// The step of spread() in shaders/common/common.glsl for so many rows, or rows of tiles. REQUIRES: count > 0.
uint32_t spreading_row_step(uint64_t count);
// `pairs_fit`: a and b can be read two floats at a time (matmul_scalar_pairs.glsl).
MatmulTile choose_matmul_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols, bool pairs_fit, const MatmulKernel& kernel);
// What the kernel is told of its operands' memory, read along the rows they have there: element types and alignment. CHECKs that it
// takes such types. c may be empty, and so may each of what is read or written beside it.
SpecConstants memory_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c = {},
                               std::initializer_list<ConstTensor> like_c = {});

// The two for coopmat2 (matmul_coopmat2.cpp). CHECKs that a and b are of the kernel's type and start at 16 bytes, that c is of it or f32.
MatmulTile coopmat2_tile(uint32_t rows, uint32_t cols, const MatmulKernel& kernel);
SpecConstants coopmat2_constants(const MatmulKernel& kernel, const ConstTensor& a, const ConstTensor& b, const ConstTensor& c,
                                 std::initializer_list<ConstTensor> like_c);

// What y passes through before it is stored: the activation of a layer (model/ops/activation.h), or the gradient through one, y being that of
// what the activation gave; or the rotary embedding. It costs no pass over memory, but swiglu and rotary on kernels that do not store pairs:
// coopmat2, the scalar one that reads words, and products in parts are followed by swiglu_forward() or rope(). Such a product overwrites c, all of
// it, and adds nothing but a bias.
enum class Nonlinearity : uint32_t {
  none = args::kLinear,
  gelu = args::kGelu,                       // c = gelu(y); y, as c's type has it, goes to `kept` where that is given
  gelu_backward = args::kGeluBackward,      // c = y gelu'(before)
  swiglu = args::kSwiglu,                   // c [M,N] = silu(gate) up of y [M,2N], whose columns 2i and 2i + 1 are gate i and up i; y goes to `kept`
  swiglu_backward = args::kSwigluBackward,  // c [M,2N] = gradients of such pairs, which `before` [M,2N] has
  rotary = args::kRotary,                   // the first columns turn, as MatmulOptions::rotary says
};

struct MatmulOptions {
  ConstTensor bias;    // [cols of c] or empty
  ConstTensor addend;  // shape and type of c or empty: a residual
  ConstTensor live;    // u32 [1] or empty: how many tokens count. They are the rows of c for nn and nt (the others are left
                       // untouched), the summed dimension for tn
  float alpha = 1.0F;
  ConstTensor scale;   // [1] or empty: a factor beside alpha that is known on the device only
  Nonlinearity nonlinearity = Nonlinearity::none;
  Tensor kept;         // gelu: shape and type of c or empty; swiglu: y, of c's type
  ConstTensor before;  // the gradients: shape and type of c
  Rotary rotary = {};
  std::optional<MatmulKernel> force = std::nullopt;  // for tests and measurements
};

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [M,K] [K,N]
void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [M,K] [N,K]t
void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into = Into::overwrite, const MatmulOptions& options = {});  // [M,N] = [K,M]t [K,N]

}  // namespace lapilli
