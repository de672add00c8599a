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

// The largest tile that still makes enough workgroups to fill a GPU (a few per multiprocessor), if the device can run it.
uint32_t tiled_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols) {
  const auto tiles = [&](uint32_t tile) { return ceil_div(rows, tile) * ceil_div(cols, tile); };
  if (caps.max_workgroup_invocations < 256) return 32;
  if (tiles(128) >= 128) return 128;
  // The small tile has 64 threads: no whole subgroup on a device whose subgroups are wider.
  return tiles(64) >= 128 || caps.subgroup_size > 64 ? 64 : 32;
}

void dispatch_scalar(Ops& ops, const args::MatmulArgs& args, Cost cost) {
  const uint32_t subgroup = ops.caps().subgroup_size;
  const Tile tile = scalar_tile(args.rows);
  const Kernel& kernel = ops.kernel("matmul_scalar", subgroup, {{args::SPEC_TILE_ROWS, tile.rows}, {args::SPEC_TILE_COLS, tile.cols}});
  ops.program.dispatch(kernel, args, ceil_div(args.rows, tile.rows) * ceil_div(args.cols, tile.cols * subgroup), cost);
}

void dispatch_tiled(Ops& ops, const args::MatmulArgs& args, uint32_t tile, Cost cost) {
  const uint32_t contiguous = (args.a_depth == 1 ? 1U : 0U) | (args.b_depth == 1 ? 2U : 0U);
  const Kernel& kernel = ops.kernel("matmul_tiled", tile == 32 ? 64 : 256,
                                    {{args::SPEC_TILE_ROWS, tile}, {args::SPEC_TILE_COLS, tile}, {args::SPEC_TILE_DEPTH, 16},
                                     {args::SPEC_VARIANT, contiguous}});
  ops.program.dispatch(kernel, args, ceil_div(args.rows, tile) * ceil_div(args.cols, tile), cost);
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
  const MatmulKernel chosen = options.force.value_or(MatmulKernel{ops.caps().kernel_class});
  if (chosen.kernel_class == KernelClass::scalar) return dispatch_scalar(ops, args, cost);
  dispatch_tiled(ops, args, chosen.tile != 0 ? chosen.tile : tiled_tile(ops.caps(), args.rows, args.cols), cost);
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
