#include "model/matmul.h"

namespace lapilli {

namespace {

// The largest tile that still makes enough workgroups to fill a GPU (a few per multiprocessor), if the device can run it.
uint32_t tiled_tile(const DeviceCaps& caps, uint32_t rows, uint32_t cols) {
  const auto tiles = [&](uint32_t tile) { return ceil_div(rows, tile) * ceil_div(cols, tile); };
  if (caps.max_workgroup_invocations < 256) return 32;
  if (tiles(128) >= 128) return 128;
  // The small tile has 64 threads: no whole subgroup on a device whose subgroups are wider.
  return tiles(64) >= 128 || caps.subgroup_size > 64 ? 64 : 32;
}

// Layouts as matmul_scalar_pairs.comp numbers them.
uint32_t layout_of(const args::MatmulArgs& args) { return args.a_row == 1 && args.a_depth != 1 ? 2 : args.b_depth == 1 && args.b_col != 1 ? 1 : 0; }

// Whether every row of a and b starts at an even element of 8-byte aligned memory, so that two floats can be read as one.
bool has_even_rows(const args::MatmulArgs& args) {
  const uint32_t a_stride = layout_of(args) == 2 ? args.a_depth : args.a_row;
  const uint32_t b_stride = layout_of(args) == 1 ? args.b_col : args.b_depth;
  const bool even_cols = layout_of(args) == 1 || args.cols % 2 == 0, even_rows = layout_of(args) != 2 || args.rows % 2 == 0;
  return a_stride % 2 == 0 && b_stride % 2 == 0 && even_cols && even_rows && args.a.slice.buffer_offset_bytes() % 8 == 0 &&
         args.b.slice.buffer_offset_bytes() % 8 == 0;
}

void dispatch_scalar(Ops& ops, const args::MatmulArgs& args, bool pairs_allowed, Cost cost) {
  const DeviceCaps& caps = ops.caps();
  const bool pairs = pairs_allowed && caps.fast_pair_loads && has_even_rows(args);
  // Taller tiles read b less often; few rows make them a waste. Measured on lavapipe (lapilli bench matmul).
  const uint32_t rows = args.rows <= 8 ? 8 : pairs ? 32 : 24, cols = 2;
  const Kernel& kernel = ops.kernel(pairs ? "matmul_scalar_pairs" : "matmul_scalar", caps.subgroup_size,
                                    {{args::SPEC_TILE_ROWS, rows}, {args::SPEC_TILE_COLS, cols}, {args::SPEC_VARIANT, pairs ? layout_of(args) : 0}});
  ops.program.dispatch(kernel, args, ceil_div(args.rows, rows) * ceil_div(args.cols, cols * caps.subgroup_size), cost);
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
  if (chosen.kernel_class == KernelClass::scalar) return dispatch_scalar(ops, args, chosen.pairs, cost);
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
