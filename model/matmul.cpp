#include "model/matmul.h"

namespace lapilli {

namespace {

struct Tile {
  uint32_t rows, cols;  // of c, per lane for the scalar class
};

// Few rows make a tall tile a waste; otherwise the tallest one that the register file (and its spills) still rewards.
Tile scalar_tile(uint32_t rows) {
  if (rows <= 8) return {8, 2};
  return {24, 2};
}

void matmul(Ops& ops, Tensor c, Into into, const MatmulOptions& options, args::MatmulArgs args) {
  args.c = c;
  args.bias = options.bias;
  args.addend = into == Into::accumulate ? c : options.addend;
  args.live = options.live;
  args.alpha = options.alpha;
  args.rows = c.rows();
  args.cols = c.cols();
  args.c_stride = c.cols();
  CHECK(into == Into::overwrite || !options.addend, "accumulate and an addend exclude each other");
  CHECK(!options.bias || options.bias.elements() == c.cols(), "bias {} for {}", options.bias.shape().to_string(),
        c.shape().to_string());
  CHECK(!options.addend || options.addend.elements() == c.elements(), "addend {} for {}",
        options.addend.shape().to_string(), c.shape().to_string());

  const double m = args.rows, n = args.cols, k = args.depth;
  const Cost cost{.flops = 2 * m * n * k, .bytes = 4 * (m * k + n * k + m * n * (args.addend.slice ? 2 : 1))};
  const uint32_t subgroup = ops.caps().subgroup_size;
  const Tile tile = scalar_tile(args.rows);
  const Kernel& kernel = ops.kernel("matmul_scalar", subgroup, {{args::SPEC_TILE_ROWS, tile.rows}, {args::SPEC_TILE_COLS, tile.cols}});
  ops.program.dispatch(kernel, args, ceil_div(args.rows, tile.rows) * ceil_div(args.cols, tile.cols * subgroup), cost);
}

}  // namespace

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.rows() == depth && b.cols() == c.cols(), "{} = {} {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, into, options,
         {.a = a, .b = b, .depth = depth, .a_row = depth, .a_depth = 1, .b_depth = b.cols(), .b_col = 1});
}

void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.cols() == depth && b.rows() == c.cols(), "{} = {} {}t", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, into, options, {.a = a, .b = b, .depth = depth, .a_row = depth, .a_depth = 1, .b_depth = 1, .b_col = depth});
}

void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.rows();
  CHECK(a.cols() == c.rows() && b.rows() == depth && b.cols() == c.cols(), "{} = {}t {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, into, options,
         {.a = a, .b = b, .depth = depth, .a_row = 1, .a_depth = a.cols(), .b_depth = b.cols(), .b_col = 1, .live_is_depth = 1});
}

}  // namespace lapilli
