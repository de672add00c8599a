#include "model/matmul_product.h"
#include "model/kernel_tuning.h"

namespace lapilli {

namespace {

MatmulKernel choose_kernel(Ops& ops, const MatmulProduct& product, const MatmulOptions& options) {
  if (options.force) return *options.force;
  const MatmulKernel own = settle_matmul_kernel(ops.caps(), matmul_kernel(ops.caps(), ops.precision), product, ops.workspace);
  return ops.tuning == nullptr ? own : ops.tuning->choose(product, own, ops.workspace);
}

// `args` holds depth and strides.
void matmul(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options, args::MatmulArgs args) {
  const ConstTensor addend = into == Into::accumulate ? c : options.addend;
  args.c = c;
  args.a = a;
  args.b = b;
  args.bias = options.bias;
  args.addend = addend;
  args.live = options.live;
  args.alpha = options.alpha;
  args.rows = c.rows();
  args.cols = c.cols();
  args.c_stride = c.row_stride();
  CHECK(into == Into::overwrite || !options.addend, "accumulate and an addend exclude each other");
  CHECK(!options.bias || options.bias.elements() == c.cols(), "bias {} for {}", options.bias.shape().to_string(),
        c.shape().to_string());
  CHECK(!options.addend || (options.addend.elements() == c.elements() && options.addend.row_stride() == c.row_stride()), "addend {} for {}",
        options.addend.shape().to_string(), c.shape().to_string());

  const double m = args.rows, n = args.cols, k = args.depth;
  const auto bytes = [](const ConstTensor& tensor, double elements) { return static_cast<double>(size_bytes(tensor.dtype())) * elements; };
  const MatmulProduct product{.args = args,
                              .a = a,
                              .b = b,
                              .c = c,
                              .addend = addend,
                              .cost = {.flops = 2 * m * n * k, .bytes = bytes(a, m * k) + bytes(b, n * k) + bytes(c, m * n * (addend ? 2 : 1))}};
  record_product(ops, choose_kernel(ops, product, options), product);
}

}  // namespace

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.rows() == depth && b.cols() == c.cols(), "{} = {} {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = b.row_stride(), .b_col = 1});
}

void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.cols() == depth && b.rows() == c.cols(), "{} = {} {}t", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = 1, .b_col = b.row_stride()});
}

void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.rows();
  CHECK(a.cols() == c.rows() && b.rows() == depth && b.cols() == c.cols(), "{} = {}t {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options,
         {.depth = depth, .a_row = 1, .a_depth = a.row_stride(), .b_depth = b.row_stride(), .b_col = 1, .live_is_depth = 1});
}

}  // namespace lapilli
