#include "model/matmul.h"

namespace lapilli {

namespace {

// Layouts as matmul_scalar_pairs.glsl numbers them.
uint32_t layout_of(const args::MatmulArgs& args) { return args.a_row == 1 && args.a_depth != 1 ? 2 : args.b_depth == 1 && args.b_col != 1 ? 1 : 0; }

// Whether every row of a and b starts at an even element of 8-byte aligned memory, so that two floats can be read as one
// (matmul_scalar_pairs.glsl).
bool has_even_rows(const args::MatmulArgs& args) {
  const uint32_t a_stride = layout_of(args) == 2 ? args.a_depth : args.a_row;
  const uint32_t b_stride = layout_of(args) == 1 ? args.b_col : args.b_depth;
  // A pair at an odd edge reaches into the gap that follows, if there is one.
  const bool even_cols = layout_of(args) == 1 || args.cols % 2 == 0 || args.b_depth > args.cols;
  const bool even_rows = layout_of(args) != 2 || args.rows % 2 == 0 || args.a_depth > args.rows;
  return a_stride % 2 == 0 && b_stride % 2 == 0 && even_cols && even_rows && args.a.slice.buffer_offset_bytes() % 8 == 0 &&
         args.b.slice.buffer_offset_bytes() % 8 == 0;
}

// SPEC_EPILOGUE for the scalar kernels. In pairs: every row of c starts and ends at one, and what is read beside it lies alike.
uint32_t epilogue_of(const args::MatmulArgs& args) {
  const auto starts_at_pair = [](const Slice& slice) { return !slice || slice.buffer_offset_bytes() % 8 == 0; };
  const bool in_pairs = args.cols % 2 == 0 && args.c_stride % 2 == 0 && starts_at_pair(args.c.slice) && starts_at_pair(args.bias.slice) &&
                        starts_at_pair(args.addend.slice) && starts_at_pair(args.kept.slice) && starts_at_pair(args.before.slice);
  return (args.bias.slice ? 1U : 0U) | (args.addend.slice ? 2U : 0U) | (in_pairs ? 4U : 0U);
}

// On a processor a tile streams its rows of a and columns of b through the cache: beyond some depth they push out what the next
// tile would have found there. Measured on lavapipe, [1024,K] [K,256] in one piece: 59 GFLOP/s at K = 2048, 37 at 8192, 17 at
// 32000; in pieces (lapilli bench matmul --m 1024 --n 256 --k 32000 --layout nn) 55.
constexpr uint32_t kScalarDepth = 2048;

// The product as a sum of products of bounded depth; the later ones add to c, and the last passes what came of it through the nonlinearity.
// Kernels for a processor only, so all is f32.
std::vector<args::MatmulArgs> depth_pieces(const args::MatmulArgs& whole, const MatmulTile& tile) {
  const bool counted = whole.live.slice && whole.live_is_depth != 0;  // where the depth ends is known on the device only
  if (!tile.form.starts_with("scalar") || whole.depth <= kScalarDepth || counted) return {whole};
  const auto from = [](const Slice& slice, uint64_t elements) {
    return slice.sub(elements * sizeof(float), slice.size_bytes() - elements * sizeof(float));
  };
  std::vector<args::MatmulArgs> pieces;
  for (uint32_t k = 0; k < whole.depth; k += kScalarDepth) {
    args::MatmulArgs piece = whole;
    piece.depth = std::min(kScalarDepth, whole.depth - k);
    piece.a.slice = from(whole.a.slice, uint64_t{k} * whole.a_depth);
    piece.b.slice = from(whole.b.slice, uint64_t{k} * whole.b_depth);
    if (k > 0) {
      piece.bias = {};
      piece.addend.slice = whole.c.slice;
    }
    if (k + kScalarDepth < whole.depth) {
      piece.kept = {};
      piece.before = {};
    }
    pieces.push_back(piece);
  }
  return pieces;
}

uint32_t nonlinearity_constant(const MatmulOptions& options) {
  return options.nonlinearity == Nonlinearity::gelu && options.kept ? args::kGeluKept : static_cast<uint32_t>(options.nonlinearity);
}

void check_nonlinearity(const Tensor& c, Into into, const MatmulOptions& options) {
  const Nonlinearity f = options.nonlinearity;
  const bool backward = f == Nonlinearity::gelu_backward || f == Nonlinearity::swiglu_backward;
  CHECK(f != Nonlinearity::swiglu_backward || c.cols() % 2 == 0, "gradients of gate and up in {}", c.shape().to_string());
  CHECK(!options.kept || f == Nonlinearity::gelu, "only gelu keeps what goes into it");
  CHECK(static_cast<bool>(options.before) == backward, "something before it, and no gradient through a nonlinearity, or the other way round");
  CHECK(f == Nonlinearity::none || (into == Into::overwrite && !options.addend && !options.live), "a nonlinearity of a sum that is not whole");
  for (const ConstTensor& tensor : {ConstTensor(options.kept), options.before})
    CHECK(!tensor || (tensor.elements() == c.elements() && tensor.row_stride() == c.row_stride() && !tensor.slice().overlaps(c.slice())),
          "{} beside {}", tensor.shape().to_string(), c.shape().to_string());
}
// Columns of the product that goes to c.
uint32_t product_cols(const Tensor& c, const MatmulOptions& options) {
  return options.nonlinearity == Nonlinearity::swiglu_backward ? c.cols() / 2 : c.cols();
}
// What c and what is laid out like it look like to one that stores rows of the product: two halves of a row are two rows.
ConstTensor in_product_rows(const ConstTensor& tensor, const MatmulOptions& options) {
  if (options.nonlinearity != Nonlinearity::swiglu_backward) return tensor;
  return tensor.reshaped({2 * tensor.rows(), tensor.cols() / 2});
}
double flops_of(Nonlinearity f) {
  switch (f) {
    case Nonlinearity::none: return 0;
    case Nonlinearity::gelu: return kGeluFlops;
    case Nonlinearity::gelu_backward: return kGeluBackwardFlops;
    case Nonlinearity::swiglu_backward: return kSwigluBackwardFlops;
  }
  return 0;
}

// `args` holds depth and strides.
void matmul(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options, args::MatmulArgs args) {
  const ConstTensor addend = into == Into::accumulate ? c : options.addend;
  args.c = c;
  args.a = a;
  args.b = b;
  args.bias = options.bias;
  args.addend = addend;
  args.kept = options.kept;
  args.before = options.before;
  args.live = options.live;
  args.alpha = options.alpha;
  args.rows = c.rows();
  args.cols = product_cols(c, options);
  args.c_stride = c.row_stride();
  CHECK(into == Into::overwrite || !options.addend, "accumulate and an addend exclude each other");
  check_nonlinearity(c, into, options);
  CHECK(!options.bias || options.bias.elements() == args.cols, "bias {} for {}", options.bias.shape().to_string(),
        c.shape().to_string());
  CHECK(!options.addend || (options.addend.elements() == c.elements() && options.addend.row_stride() == c.row_stride()), "addend {} for {}",
        options.addend.shape().to_string(), c.shape().to_string());

  const double m = args.rows, n = args.cols, k = args.depth;
  const auto bytes = [](const ConstTensor& tensor, double elements) { return static_cast<double>(size_bytes(tensor.dtype())) * elements; };
  const auto all = [&](const ConstTensor& tensor) { return tensor ? bytes(tensor, static_cast<double>(tensor.elements())) : 0; };
  const Cost cost{.flops = 2 * m * n * k + flops_of(options.nonlinearity) * m * n,
                  .bytes = bytes(a, m * k) + bytes(b, n * k) + all(c) * (addend ? 2 : 1) + all(options.kept) + all(options.before)};
  const MatmulKernel kind = options.force ? *options.force : matmul_kernel(ops.caps(), ops.precision);
  MatmulTile tile = choose_matmul_tile(ops.caps(), args.rows, args.cols, has_even_rows(args), kind);
  const uint32_t contiguous = (args.a_depth == 1 ? 1U : 0U) | (args.b_depth == 1 ? 2U : 0U);
  tile.constants.push_back({args::SPEC_VARIANT, kind.kernel_class != KernelClass::scalar ? contiguous : tile.form == "scalar_pairs" ? layout_of(args) : 0});
  const auto in_rows = [&](const ConstTensor& tensor) { return tensor ? in_product_rows(tensor, options) : tensor; };
  const SpecConstants memory = memory_constants(kind, a, b, in_rows(c), {addend, options.kept, in_rows(options.before)});
  tile.constants.insert(tile.constants.end(), memory.begin(), memory.end());
  args.row_step = options.live && args.live_is_depth == 0 ? spreading_row_step(ceil_div(args.rows, tile.rows)) : 1;
  const std::vector<args::MatmulArgs> pieces = depth_pieces(args, tile);
  for (const args::MatmulArgs& piece : pieces) {
    SpecConstants constants = tile.constants;
    if (kind.kernel_class == KernelClass::scalar) constants.push_back({args::SPEC_EPILOGUE, epilogue_of(piece)});
    constants.push_back({args::SPEC_NONLINEARITY, &piece == &pieces.back() ? nonlinearity_constant(options) : args::kLinear});
    const Kernel& kernel = ops.kernel("matmul_" + tile.form, tile.workgroup, constants);
    const double share = k == 0 ? 1 : piece.depth / k;
    ops.program.dispatch(kernel, piece, tile.count(args.rows, args.cols), {.flops = cost.flops * share, .bytes = cost.bytes * share});
  }
}

}  // namespace

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.rows() == depth && b.cols() == product_cols(c, options), "{} = {} {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = b.row_stride(), .b_col = 1});
}

void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.cols() == depth && b.rows() == product_cols(c, options), "{} = {} {}t", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = 1, .b_col = b.row_stride()});
}

void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.rows();
  CHECK(a.cols() == c.rows() && b.rows() == depth && b.cols() == product_cols(c, options), "{} = {}t {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options,
         {.depth = depth, .a_row = 1, .a_depth = a.row_stride(), .b_depth = b.row_stride(), .b_col = 1, .live_is_depth = 1});
}

}  // namespace lapilli
