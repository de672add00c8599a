#include "model/matmul/matmul_tuning.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "engine/memory/half.h"
#include "model/matmul/matmul_record.h"
#include "shaders/matmul/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kSeedA = 1, kSeedB = 2, kSeedBias = 3, kSeedAddend = 4, kSeedBefore = 5;  // of the random numbers in a trial's operands
constexpr uint32_t kFewestRows = 1024, kFewestDepth = kMostSplits * kShallowestPart;  // minimum when reduced, and the step of the reduction

// Key in the tuning file of matmuls with equal speed: "matmul nt 1024x1152x384 f16 c f32 bias".
std::string key_of(const MatmulProduct& product, Precision precision) {
  const args::MatmulArgs& args = product.args;
  const char* layouts[] = {"nn", "nt", "tn"};
  std::string key = fmt::format("matmul {} {}x{}x{} {}", layouts[static_cast<uint32_t>(layout_of(args))], args.rows, args.cols, args.depth,
                                to_string(precision));
  for (const auto& [name, tensor] : {std::pair("a", product.a), std::pair("b", product.b), std::pair("c", product.c)}) {
    if (precision != Precision::f32 && tensor.dtype() == DType::f32) key += fmt::format(" {} f32", name);
    if (tensor.row_stride() != tensor.cols()) key += fmt::format(" {} rows {} apart", name, tensor.row_stride());
  }
  if (args.bias.slice) key += " bias";
  if (args.scale.slice) key += " scaled";
  if (product.addend) key += " addend";
  switch (product.nonlinearity) {
    case Nonlinearity::none: break;
    case Nonlinearity::gelu: key += product.kept ? " gelu, kept" : " gelu"; break;
    case Nonlinearity::gelu_backward: key += " gelu backward"; break;
    case Nonlinearity::swiglu: key += " swiglu"; break;
    case Nonlinearity::swiglu_backward: key += " swiglu backward"; break;
    case Nonlinearity::rotary: key += " rotary"; break;
  }
  if (args.live.slice) key += args.live_is_depth != 0 ? " live depth" : " live rows";
  return key;
}

MatmulProduct bounded(MatmulProduct product, double flops_limit) {
  args::MatmulArgs& args = product.args;
  const bool tn = layout_of(args) == MatmulLayout::tn;
  uint32_t& dimension = tn ? args.depth : args.rows;
  const uint32_t fewest = tn ? kFewestDepth : kFewestRows;
  const double wanted = dimension * std::min(1.0, flops_limit / std::max(product.cost.flops, 1.0));
  dimension = std::min(dimension, std::max(fewest, static_cast<uint32_t>(wanted) / fewest * fewest));
  return product;
}

// Rotations by 0, 90, 180 and 270 degrees: exact, whether a kernel rounds before or after them.
std::vector<float> right_angles(uint32_t elements) {
  constexpr float kAngles[] = {1, 0, 0, 1, -1, 0, 0, -1};
  std::vector<float> turns(elements);
  for (uint32_t i = 0; i < elements; ++i) turns[i] = kAngles[i % std::size(kAngles)];
  return turns;
}

// A matmul in separate memory, and its expected result.
class MatmulTrial final : public KernelTrial<MatmulKernel> {
 public:
  MatmulTrial(KernelLibrary& kernels, const MatmulProduct& like, Precision precision, const Tensor& workspace, const MatmulRecorder& recorder)
      : kernels_(kernels), recorder_(recorder), precision_(precision), arena_(kernels.device().caps(), "matmul measurement"), product_(like) {
    args::MatmulArgs& args = product_.args;
    const bool tn = layout_of(args) == MatmulLayout::tn, nt = layout_of(args) == MatmulLayout::nt;
    const auto matrix = [&](uint32_t rows, const ConstTensor& of, uint32_t cols) {
      return reserve_tensor(arena_, {rows, of.row_stride()}, "measurement", of.dtype()).columns(cols);
    };
    const Tensor a = tn ? matrix(args.depth, like.a, args.rows) : matrix(args.rows, like.a, args.depth);
    const Tensor b = nt ? matrix(args.cols, like.b, args.depth) : matrix(args.depth, like.b, args.cols);
    c_ = matrix(args.rows, like.c, like.c.cols());
    kept_ = like.kept ? matrix(args.rows, like.kept, like.kept.cols()) : Tensor();
    const Tensor before = like.before ? matrix(args.rows, like.c, like.c.cols()) : Tensor();
    const Tensor bias = args.bias.slice ? reserve_tensor(arena_, {args.cols}, "measurement") : Tensor();
    const Tensor scale = args.scale.slice ? reserve_tensor(arena_, {1}, "measurement") : Tensor();
    const Tensor addend = like.addend ? matrix(args.rows, like.c, args.cols) : Tensor();
    const Tensor live = args.live.slice ? reserve_tensor(arena_, {1}, "measurement", DType::u32) : Tensor();
    const ConstTensor& like_turns = like.rotary.turns;
    const Tensor turns = like_turns ? reserve_tensor(arena_, like_turns.shape(), "measurement") : Tensor();
    if (workspace) workspace_ = reserve_tensor(arena_, workspace.shape(), "measurement");
    arena_.commit(kernels.device());

    for (const auto& [tensor, seed] : {std::pair(a, kSeedA), {b, kSeedB}, {bias, kSeedBias}, {addend, kSeedAddend}, {before, kSeedBefore}})
      if (tensor) fill_random(kernels.device(), tensor, seed);
    if (scale) write_slice(kernels.device(), scale.slice(), std::vector<float>{1.0F});
    if (turns) write_slice(kernels.device(), turns.slice(), right_angles(static_cast<uint32_t>(turns.elements())));
    if (live) write_slice(kernels.device(), live.slice(), std::vector<uint32_t>{tn ? args.depth : args.rows});
    args.a = a;
    args.b = b;
    args.c = c_;
    args.bias = bias;
    args.scale = scale;
    args.addend = addend;
    args.kept = kept_;
    args.before = turns ? turns : before;
    args.live = live;
    product_.a = a;
    product_.b = b;
    product_.c = c_;
    product_.addend = addend;
    product_.kept = kept_;
    product_.before = before;
    product_.rotary.turns = turns;
  }

  void record(Program& program, const MatmulKernel& kernel) override {
    Ops ops{.program = program, .kernels = kernels_, .precision = precision_, .workspace = workspace_};
    recorder_(ops, kernel, product_);
  }

  std::vector<Tensor> outputs() const override { return {c_, kept_}; }

  void check(const MatmulKernel& kernel) override {
    const std::vector<float> of_c = read_ends(kernels_.device(), c_);
    std::vector<float> values = of_c;
    if (kept_) std::ranges::copy(read_ends(kernels_.device(), kept_), std::back_inserter(values));
    try {
      if (expected_.empty()) {
        require_right(of_c);
        expected_ = values;
      }
      require_same_product(values, expected_, product_.args.depth, static_cast<double>(product_.args.alpha), c_.dtype(), product_.nonlinearity);
    } catch (const Error& error) {
      throw Error("{} computes a wrong result: {}", kernel.to_string(), error.what());
    }
  }

 private:
  // Checks the first result before others are compared with it: some elements in double precision if it is a plain sum;
  // else that all are finite.
  void require_right(const std::vector<float>& values) const {
    const uint64_t count = values.size() / 2;  // of the first half
    for (uint64_t at = 0; at < count; ++at)
      if (at % c_.row_stride() < c_.cols() && !std::isfinite(values[at])) throw Error("{} is not finite", values[at]);
    if (product_.nonlinearity != Nonlinearity::none) return;
    constexpr uint64_t kSamples = 64, kApart = 7919;
    const args::MatmulArgs& args = product_.args;
    const RandomNumbers a(kSeedA), b(kSeedB), bias(kSeedBias), addend(kSeedAddend);
    const auto rounded = [](float value, DType to) { return size_bytes(to) == 4 ? value : half_value(half_bits(value, to), to); };
    const auto factor = [&](float value) { return static_cast<double>(rounded(value, storage_type(precision_))); };
    std::vector<float> found, right;
    for (uint64_t sample = 0; sample < kSamples; ++sample) {
      const uint64_t at = sample * kApart % count, row = at / c_.row_stride(), col = at % c_.row_stride();
      if (row >= args.rows || col >= args.cols) continue;
      double sum = 0;
      for (uint64_t k = 0; k < args.depth; ++k) sum += factor(a[row * args.a_row + k * args.a_depth]) * factor(b[k * args.b_depth + col * args.b_col]);
      sum *= static_cast<double>(args.alpha);
      if (args.bias.slice) sum += static_cast<double>(bias[col]);
      if (product_.addend) sum += static_cast<double>(rounded(addend[at], c_.dtype()));
      found.push_back(values[at]);
      right.push_back(static_cast<float>(sum));
    }
    require_same_product(found, right, args.depth, static_cast<double>(args.alpha), c_.dtype());
  }

  KernelLibrary& kernels_;
  MatmulRecorder recorder_;
  Precision precision_;
  Arena arena_;
  MatmulProduct product_;
  Tensor c_, kept_, workspace_;
  std::vector<float> expected_;
};

// On a CPU the cost of a tile is predicted well, and a driver takes a second to compile one: only tiles within 10 % of
// the best predicted cost are measured, for most shapes none.
std::vector<MatmulKernel> scalar_candidates(const DeviceCaps& caps, const MatmulProduct& product, const MatmulKernel& own) {
  if (!own.pairs || !caps.fast_pair_loads || !starts_at_pairs(product.args)) return {own};
  const MatmulTile suggested = choose_matmul_tile(caps, product.args.rows, product.args.cols, true, own);
  const auto cost = [&](const MatmulKernel& kernel) {
    return scalar_pairs_cost(caps.subgroup_size, product.args.rows, product.args.cols, kernel.tile, kernel.tile_cols);
  };
  MatmulKernel first = own;
  first.tile = suggested.rows;
  first.tile_cols = suggested.cols / caps.subgroup_size;
  std::vector<MatmulKernel> candidates{first};
  for (const auto& [rows, vectors] : matmul_tiles(caps, own)) {
    MatmulKernel candidate = own;
    candidate.tile = rows;
    candidate.tile_cols = vectors;
    if (candidate.to_string() != first.to_string() && cost(candidate) <= 1.1 * cost(first)) candidates.push_back(candidate);
  }
  return candidates;
}

// Every tile, without split-K, with as many parts as fill the device, and with twice as many.
void add_tiles(std::vector<MatmulKernel>& candidates, const DeviceCaps& caps, const MatmulProduct& product, MatmulKernel kind, const Tensor& workspace) {
  const uint32_t most = most_splits(product, kind, workspace);
  for (const auto& [rows, cols] : matmul_tiles(caps, kind)) {
    kind.tile = rows;
    kind.tile_cols = rows == cols ? 0 : cols;
    const uint64_t tiles = ceil_div(product.args.rows, rows) * ceil_div(product.args.cols, cols);
    const auto filling = static_cast<uint32_t>(std::min<uint64_t>(ceil_div(kEnoughWorkgroups, tiles), most));
    for (const uint32_t splits : {1U, filling, std::min(2 * filling, most)}) {
      kind.splits = splits;
      const auto same = [&](const MatmulKernel& other) { return other.to_string() == kind.to_string(); };
      if ((splits == 1 || filling > 1) && std::ranges::none_of(candidates, same)) candidates.push_back(kind);
    }
  }
}

bool takes_coopmat2(const DeviceCaps& caps, const MatmulProduct& product, Precision precision) {
  const DType factors = storage_type(precision);
  const auto fits = [&](const ConstTensor& tensor) { return tensor.dtype() == factors && tensor.slice().buffer_offset_bytes() % 16 == 0; };
  return !why_no_coopmat2(caps, precision) && fits(product.a) && fits(product.b);
}

}  // namespace

std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace) {
  if (own.kernel_class == KernelClass::scalar) return scalar_candidates(caps, product, own);
  MatmulKernel first = own;
  if (first.tile == 0) first.tile = choose_matmul_tile(caps, product.args.rows, product.args.cols, false, own).rows;
  std::vector<MatmulKernel> candidates{first};
  add_tiles(candidates, caps, product, own, workspace);
  if (own.kernel_class == KernelClass::coopmat && layout_of(product.args) != MatmulLayout::nt) {
    MatmulKernel other = own;
    other.transposes = !own.transposes;
    add_tiles(candidates, caps, product, other, workspace);
  }
  if (own.kernel_class == KernelClass::coopmat && takes_coopmat2(caps, product, own.precision))
    add_tiles(candidates, caps, product, {.kernel_class = KernelClass::coopmat2, .precision = own.precision}, workspace);
  return candidates;
}

void require_same_product(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored,
                          Nonlinearity through) {
  CHECK_EQ(values.size(), expected.size());
  const double steps = depth + 2.0, sums = 2 * 4 * std::sqrt(steps) * 0x1p-24 * steps / 4 * std::abs(alpha);
  // Both are rounded when stored, and what goes into GELU (slope up to 1.13), or gate and up of SwiGLU (relative slopes up to 1.28 and 1, where
  // the gate is positive), before it.
  const double roundings = through == Nonlinearity::swiglu ? 8 : 4;
  const double store = roundings * (stored == DType::f16 ? 0x1p-11 : stored == DType::bf16 ? 0x1p-8 : 0x1p-24);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<double>(values[i]), right = static_cast<double>(expected[i]);
    if (std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(expected[i])) continue;
    if (!(std::abs(value - right) <= sums + store * (1 + std::abs(right)))) throw Error("{}, expected {}", value, right);
  }
}

MatmulKernel tune_matmul(KernelTuner& tuner, const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace,
                         const MatmulRecorder& recorder) {
  const auto set_up = [&] {
    std::vector<std::unique_ptr<KernelTrial<MatmulKernel>>> trials;
    trials.push_back(std::make_unique<MatmulTrial>(tuner.kernels(), bounded(product, trial_flops(tuner.kernels().device())), own.precision, workspace, recorder));
    return trials;
  };
  return tuner.choose<MatmulKernel>(key_of(product, own.precision), matmul_candidates(tuner.caps(), product, own, workspace), set_up);
}

}  // namespace lapilli
