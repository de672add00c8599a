#include "model/matmul/matmul_record.h"

#include "model/ops/activation.h"
#include "model/ops/rope.h"

namespace lapilli {

namespace {

// Every row of c starts and ends at a pair of columns, and the tensors read with it have the same layout.
bool stores_pairs(const args::MatmulArgs& args) {
  const auto is_8_byte_aligned = [](const Slice& slice) { return !slice || slice.buffer_offset_bytes() % 8 == 0; };
  return args.cols % 2 == 0 && args.c_stride % 2 == 0 && is_8_byte_aligned(args.c.slice) && is_8_byte_aligned(args.bias.slice) &&
         is_8_byte_aligned(args.addend.slice) && is_8_byte_aligned(args.kept.slice) && is_8_byte_aligned(args.before.slice);
}

// SPEC_EPILOGUE. Scalar kernels get every bit as a constant; others check for bias and addend at run time.
uint32_t epilogue_of(const args::MatmulArgs& args, KernelClass kernel_class) {
  const uint32_t scaled = args.scale.slice ? 8U : 0U;
  if (kernel_class != KernelClass::cpu) return 1U | 2U | scaled;
  return (args.bias.slice ? 1U : 0U) | (args.addend.slice ? 2U : 0U) | (stores_pairs(args) ? 4U : 0U) | scaled;
}

// SPEC_VARIANT of matmul_cpu_load64.comp.
uint32_t load64_variant(const args::MatmulArgs& args) {
  const MatmulLayout layout = layout_of(args);
  const uint32_t a_stride = layout == MatmulLayout::tn ? args.a_depth : args.a_row;
  const uint32_t b_stride = layout == MatmulLayout::nt ? args.b_col : args.b_depth;
  return static_cast<uint32_t>(layout) | (a_stride % 2 != 0 ? 4U : 0U) | (b_stride % 2 != 0 ? 8U : 0U);
}

// The part of the sum over K that begins at `k`.
MatmulProblem part_of(const MatmulProblem& whole, uint32_t k, uint32_t depth) {
  const auto from = [](const Slice& slice, uint64_t bytes) { return slice.sub(bytes, slice.size_bytes() - bytes); };
  MatmulProblem part = whole;
  part.args.depth = depth;
  part.args.a.slice = from(whole.args.a.slice, uint64_t{k} * whole.args.a_depth * size_bytes(whole.a.dtype()));
  part.args.b.slice = from(whole.args.b.slice, uint64_t{k} * whole.args.b_depth * size_bytes(whole.b.dtype()));
  const double share = whole.args.depth == 0 ? 1 : static_cast<double>(depth) / whole.args.depth;
  part.cost.flops *= share;
  part.cost.bytes *= share;
  return part;
}

// On a CPU a tile streams its rows of a and columns of b through the cache: above some depth they evict the data that
// the next tile would have reused. Measured on lavapipe, [1024,K] [K,256] in one piece: 59 GFLOP/s at K = 2048, 37 at
// 8192, 17 at
// 32000; in pieces (lapilli bench matmul --m 1024 --n 256 --k 32000 --layout nn) 55.
constexpr uint32_t kCpuDepth = 2048;

// The matmul as a sum of matmuls of bounded depth. The later ones accumulate into c, or into the kept y if there is
// one, and the last applies the nonlinearity to the sum. CPU kernels only, so everything is f32.
std::vector<MatmulProblem> depth_pieces(const MatmulProblem& whole, const MatmulTile& tile) {
  const bool counted = whole.args.num_valid.slice && whole.args.num_valid_is_depth != 0;  // the depth is known only on the device
  // swiglu_backward stores to other places in c than its sums, and would overwrite the sums of other elements.
  const bool in_place = whole.nonlinearity != Nonlinearity::swiglu_backward;
  if (!tile.form.starts_with("cpu") || whole.args.depth <= kCpuDepth || counted || !in_place) return {whole};
  const bool gated = whole.nonlinearity == Nonlinearity::swiglu;
  const Slice sums = gated ? whole.args.kept.slice : whole.args.c.slice;
  std::vector<MatmulProblem> pieces;
  for (uint32_t k = 0; k < whole.args.depth; k += kCpuDepth) {
    MatmulProblem piece = part_of(whole, k, std::min(kCpuDepth, whole.args.depth - k));
    if (k > 0) {
      piece.args.bias = {};
      piece.args.addend.slice = sums;
      piece.addend = gated ? whole.kept : whole.c;
    }
    if (k + kCpuDepth < whole.args.depth) {
      piece.nonlinearity = Nonlinearity::none;
      piece.args.c.slice = sums;
      piece.args.kept = {};
      piece.args.before = {};
    }
    pieces.push_back(piece);
  }
  return pieces;
}

uint32_t nonlinearity_constant(const MatmulProblem& problem) {
  return problem.nonlinearity == Nonlinearity::gelu && problem.kept ? args::kGeluKept : static_cast<uint32_t>(problem.nonlinearity);
}

MatmulTile tile_of(const DeviceCaps& caps, const MatmulKernel& kernel, const MatmulProblem& problem) {
  return choose_matmul_tile(caps, problem.args.rows, problem.args.cols, operands_8_byte_aligned(problem.args), kernel);
}

void record_whole(Ops& ops, const MatmulKernel& kernel, const MatmulProblem& problem) {
  MatmulTile tile = tile_of(ops.caps(), kernel, problem);
  const uint32_t contiguous = (problem.args.a_depth == 1 ? 1U : 0U) | (problem.args.b_depth == 1 ? 2U : 0U);
  const uint32_t pairs = tile.form == "cpu_load64" ? load64_variant(problem.args) : 0;
  tile.constants.push_back({args::SPEC_VARIANT, kernel.kernel_class == KernelClass::cpu ? pairs : contiguous});
  const SpecConstants memory = memory_constants(kernel, problem.a, problem.b, problem.c, {problem.addend, problem.kept, problem.before});
  tile.constants.insert(tile.constants.end(), memory.begin(), memory.end());
  for (MatmulProblem& piece : depth_pieces(problem, tile)) {
    SpecConstants constants = tile.constants;
    constants.push_back({args::SPEC_EPILOGUE, epilogue_of(piece.args, kernel.kernel_class)});
    constants.push_back({args::SPEC_NONLINEARITY, nonlinearity_constant(piece)});
    if (piece.nonlinearity == Nonlinearity::rotary)
      constants.insert(constants.end(), {{args::SPEC_HEAD_WIDTH, piece.rotary.head_width()},
                                         {args::SPEC_CONTEXT, piece.rotary.context},
                                         {args::SPEC_ROTARY, piece.rotary.rotary_cols()}});
    piece.cost.matrices = kernel.uses_coopmat();
    piece.args.permutation_step =
        piece.args.num_valid.slice && piece.args.num_valid_is_depth == 0 ? choose_permutation_step(ceil_div(piece.args.rows, tile.rows)) : 1;
    ops.program.dispatch(ops.kernel("matmul_" + tile.form, tile.workgroup, constants), piece.args, tile.count(piece.args.rows, piece.args.cols),
                         piece.cost);
  }
}

// Whether the kernel stores pairs of neighbouring columns together, so that it can apply rotary or SwiGLU to them.
bool stores_whole_pairs(const DeviceCaps& caps, const MatmulKernel& kernel, const MatmulProblem& problem) {
  switch (kernel.kernel_class) {
    case KernelClass::cpu: return tile_of(caps, kernel, problem).form == "cpu_load64" && stores_pairs(problem.args);
    case KernelClass::tiled:
    case KernelClass::coopmat: return kernel.splits <= 1;
    case KernelClass::coopmat2: return false;
  }
  return false;
}

bool takes_pairs(Nonlinearity f) { return f == Nonlinearity::rotary || f == Nonlinearity::swiglu; }

Tensor as_output(const args::InOutReal& to, const ConstTensor& like) { return {to.slice, like.shape(), like.dtype()}; }

void record_plain_and_rotate(Ops& ops, const MatmulKernel& kernel, MatmulProblem problem) {
  problem.nonlinearity = Nonlinearity::none;
  problem.args.before = {};
  problem.cost.flops -= rope_flops(problem.rotary, problem.args.rows);
  record_matmul(ops, kernel, problem);
  rope(ops, as_output(problem.args.c, problem.c), problem.rotary, RopeDirection::forward);
}

void record_plain_and_gate(Ops& ops, const MatmulKernel& kernel, MatmulProblem problem) {
  const Tensor gated = as_output(problem.args.c, problem.c);
  problem.nonlinearity = Nonlinearity::none;
  problem.args.c.slice = problem.args.kept.slice;
  problem.c = problem.kept;
  problem.args.kept = {};
  problem.kept = {};
  problem.cost.flops -= flops_of(Nonlinearity::swiglu) * problem.args.rows * problem.args.cols;
  problem.cost.bytes -= static_cast<double>(gated.size_bytes());
  record_matmul(ops, kernel, problem);
  swiglu_forward(ops, gated, problem.c);
}

// Split-K. A part is a whole number of stages of any kernel, and starts with the same memory alignment as the whole.
constexpr uint32_t kPartGrain = 64;

uint32_t part_depth(uint32_t depth, uint32_t splits) { return static_cast<uint32_t>(round_up(ceil_div(depth, splits), kPartGrain)); }

// The parts are contiguous in the workspace and need no barriers between them: they write disjoint memory.
void record_split(Ops& ops, MatmulKernel kernel, const MatmulProblem& problem) {
  const args::MatmulArgs& whole = problem.args;
  const uint32_t depth = part_depth(whole.depth, kernel.splits), splits = static_cast<uint32_t>(ceil_div(whole.depth, depth));
  const uint64_t part_floats = uint64_t{whole.rows} * whole.cols;
  CHECK(splits <= max_splits(problem, kernel, ops.workspace), "{} parts of a matmul {} x {} x {}", splits, whole.rows, whole.cols, whole.depth);
  kernel.splits = 1;
  for (uint32_t split = 0; split < splits; ++split) {
    const Tensor partial(ops.workspace.slice().sub(split * part_floats * sizeof(float), part_floats * sizeof(float)), {whole.rows, whole.cols});
    MatmulProblem part = part_of(problem, split * depth, std::min(depth, whole.depth - split * depth));
    part.args.c = partial;
    part.args.c_stride = whole.cols;
    part.args.bias = {};
    part.args.addend = {};
    part.args.scale = {};
    part.args.alpha = 1;
    part.c = partial;
    part.addend = {};
    record_whole(ops, kernel, part);
  }
  const args::MatmulSumArgs sum{.c = {whole.c.slice},
                                .parts = {ops.workspace.slice().sub(0, splits * part_floats * sizeof(float))},
                                .bias = whole.bias,
                                .addend = whole.addend,
                                .scale = whole.scale,
                                .rows = whole.rows,
                                .cols = whole.cols,
                                .c_stride = whole.c_stride,
                                .splits = splits,
                                .alpha = whole.alpha};
  const double elements = static_cast<double>(part_floats);
  SpecConstants constants = type_constants(problem.c, problem.addend);
  constants.push_back({args::SPEC_EPILOGUE, epilogue_of(whole, kernel.kernel_class)});
  dispatch_elements(ops, "matmul_sum", sum, lanes(problem.c, part_floats),
                    {.flops = elements * splits, .bytes = elements * (4.0 * splits + static_cast<double>(size_bytes(problem.c.dtype())))}, constants);
}

}  // namespace

double flops_of(Nonlinearity f) {
  switch (f) {
    case Nonlinearity::none: return 0;
    case Nonlinearity::gelu: return kGeluFlops;
    case Nonlinearity::gelu_backward: return kGeluBackwardFlops;
    case Nonlinearity::swiglu: return kSwigluFlops / 2;
    case Nonlinearity::swiglu_backward: return kSwigluBackwardFlops;
    case Nonlinearity::rotary: return 0;  // rope_flops()
  }
  return 0;
}

MatmulKernel resolve_matmul_kernel(const DeviceCaps& caps, MatmulKernel kernel, const MatmulProblem& problem, const Tensor& workspace) {
  if (layout_of(problem.args) == MatmulLayout::nt) kernel.transposes = false;  // nothing to transpose
  const uint32_t most = max_splits(problem, kernel, workspace);
  if (kernel.tile != 0 || kernel.splits != 0 || most == 1 || kernel.kernel_class == KernelClass::coopmat2) {
    kernel.splits = std::max(kernel.splits, 1U);
    return kernel;
  }
  // The largest tile that fills the device, with split-K if needed.
  for (const auto& [tile, tile_cols] : matmul_tiles(caps, kernel)) {
    const uint64_t tiles = ceil_div(problem.args.rows, tile) * ceil_div(problem.args.cols, tile_cols);
    const uint64_t splits = ceil_div(kMinWorkgroups, tiles);
    if (splits > most) continue;
    kernel.tile = tile;
    kernel.splits = static_cast<uint32_t>(splits);
    return kernel;
  }
  kernel.splits = 1;
  return kernel;
}

void record_matmul(Ops& ops, const MatmulKernel& kernel, const MatmulProblem& problem) {
  const bool pairs_apart = takes_pairs(problem.nonlinearity) && !stores_whole_pairs(ops.caps(), kernel, problem);
  if (pairs_apart && problem.nonlinearity == Nonlinearity::rotary) return record_plain_and_rotate(ops, kernel, problem);
  if (pairs_apart) return record_plain_and_gate(ops, kernel, problem);
  if (kernel.splits > 1) return record_split(ops, kernel, problem);
  record_whole(ops, kernel, problem);
}

}  // namespace lapilli
