#include "model/matmul/matmul_tuning.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "engine/memory/half.h"
#include "model/matmul/matmul_tile.h"
#include "shaders/matmul/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kSeedA = 1, kSeedB = 2, kSeedBias = 3, kSeedAddend = 4, kSeedBefore = 5;  // of the random numbers in a trial's operands
constexpr uint32_t kFewestRows = 1024, kFewestDepth = kMaxSplits * kMinPartDepth;  // minimum when reduced, and the step of the reduction

// Key in the tuning file of matmuls with equal speed: "matmul nt 1024x1152x384 f16 c f32 bias".
std::string key_of(const MatmulProblem& problem, Precision precision) {
  const args::MatmulArgs& args = problem.args;
  const char* layouts[] = {"nn", "nt", "tn"};
  std::string key =
      fmt::format("matmul {} {}x{}x{} {}", layouts[static_cast<uint32_t>(layout_of(args))], args.rows, args.cols, args.depth, to_string(precision));
  for (const auto& [name, tensor] : {std::pair("a", problem.a), std::pair("b", problem.b), std::pair("c", problem.c)}) {
    if (precision != Precision::f32 && tensor.dtype() == DType::f32) key += fmt::format(" {} f32", name);
    if (tensor.row_stride() != tensor.cols()) key += fmt::format(" {} rows {} apart", name, tensor.row_stride());
  }
  if (args.bias.slice) key += " bias";
  if (args.scale.slice) key += " scaled";
  if (problem.addend) key += " addend";
  switch (problem.nonlinearity) {
    case Nonlinearity::none: break;
    case Nonlinearity::gelu: key += problem.kept ? " gelu, kept" : " gelu"; break;
    case Nonlinearity::gelu_backward: key += " gelu backward"; break;
    case Nonlinearity::swiglu: key += " swiglu"; break;
    case Nonlinearity::swiglu_backward: key += " swiglu backward"; break;
    case Nonlinearity::rotary: key += " rotary"; break;
  }
  if (args.num_valid.slice) key += args.num_valid_is_depth != 0 ? " valid depth" : " valid rows";
  return key;
}

MatmulProblem bounded(MatmulProblem problem, double flops_limit) {
  args::MatmulArgs& args = problem.args;
  const bool tn = layout_of(args) == MatmulLayout::tn;
  uint32_t& dimension = tn ? args.depth : args.rows;
  const uint32_t fewest = tn ? kFewestDepth : kFewestRows;
  const double wanted = dimension * std::min(1.0, flops_limit / std::max(problem.cost.flops, 1.0));
  dimension = std::min(dimension, std::max(fewest, static_cast<uint32_t>(wanted) / fewest * fewest));
  return problem;
}

// Rotations by 0, 90, 180 and 270 degrees: exact, whether a kernel rounds before or after them.
std::vector<float> right_angles(uint32_t elements) {
  constexpr float kAngles[] = {1, 0, 0, 1, -1, 0, 0, -1};
  std::vector<float> cos_sin_table(elements);
  for (uint32_t i = 0; i < elements; ++i) cos_sin_table[i] = kAngles[i % std::size(kAngles)];
  return cos_sin_table;
}

// A matmul in separate memory, and its expected result.
class MatmulTrial final : public KernelTrial<MatmulKernel> {
 public:
  MatmulTrial(KernelLibrary& kernels, const MatmulProblem& like, Precision precision, const Tensor& workspace, const MatmulRecorder& recorder)
      : kernels_(kernels), recorder_(recorder), precision_(precision), arena_(kernels.device().caps(), "matmul measurement"), problem_(like) {
    args::MatmulArgs& args = problem_.args;
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
    const Tensor num_valid = args.num_valid.slice ? reserve_tensor(arena_, {1}, "measurement", DType::u32) : Tensor();
    const ConstTensor& like_cos_sin_table = like.rotary.cos_sin_table;
    const Tensor cos_sin_table = like_cos_sin_table ? reserve_tensor(arena_, like_cos_sin_table.shape(), "measurement") : Tensor();
    if (workspace) workspace_ = reserve_tensor(arena_, workspace.shape(), "measurement");
    arena_.commit(kernels.device());

    for (const auto& [tensor, seed] : {std::pair(a, kSeedA), {b, kSeedB}, {bias, kSeedBias}, {addend, kSeedAddend}, {before, kSeedBefore}})
      if (tensor) fill_random(kernels.device(), tensor, seed);
    if (scale) write_slice(kernels.device(), scale.slice(), std::vector<float>{1.0F});
    if (cos_sin_table) write_slice(kernels.device(), cos_sin_table.slice(), right_angles(static_cast<uint32_t>(cos_sin_table.elements())));
    if (num_valid) write_slice(kernels.device(), num_valid.slice(), std::vector<uint32_t>{tn ? args.depth : args.rows});
    args.a = a;
    args.b = b;
    args.c = c_;
    args.bias = bias;
    args.scale = scale;
    args.addend = addend;
    args.kept = kept_;
    args.before = cos_sin_table ? cos_sin_table : before;
    args.num_valid = num_valid;
    problem_.a = a;
    problem_.b = b;
    problem_.c = c_;
    problem_.addend = addend;
    problem_.kept = kept_;
    problem_.before = before;
    problem_.rotary.cos_sin_table = cos_sin_table;
  }

  void record(Program& program, const MatmulKernel& kernel) override {
    Ops ops{.program = program, .kernels = kernels_, .precision = precision_, .workspace = workspace_};
    recorder_(ops, kernel, problem_);
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
      require_same_matmul(values, expected_, problem_.args.depth, static_cast<double>(problem_.args.alpha), c_.dtype(), problem_.nonlinearity);
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
    if (problem_.nonlinearity != Nonlinearity::none) return;
    constexpr uint64_t kSamples = 64, kApart = 7919;
    const args::MatmulArgs& args = problem_.args;
    const RandomNumbers a(kSeedA), b(kSeedB), bias(kSeedBias), addend(kSeedAddend);
    const auto rounded = [](float value, DType to) { return size_bytes(to) == 4 ? value : half_value(half_bits(value, to), to); };
    const auto operand = [&](float value) { return static_cast<double>(rounded(value, storage_type(precision_))); };
    std::vector<float> found, right;
    for (uint64_t sample = 0; sample < kSamples; ++sample) {
      const uint64_t at = sample * kApart % count, row = at / c_.row_stride(), col = at % c_.row_stride();
      if (row >= args.rows || col >= args.cols) continue;
      double sum = 0;
      for (uint64_t k = 0; k < args.depth; ++k)
        sum += operand(a[row * args.a_row + k * args.a_depth]) * operand(b[k * args.b_depth + col * args.b_col]);
      sum *= static_cast<double>(args.alpha);
      if (args.bias.slice) sum += static_cast<double>(bias[col]);
      if (problem_.addend) sum += static_cast<double>(rounded(addend[at], c_.dtype()));
      found.push_back(values[at]);
      right.push_back(static_cast<float>(sum));
    }
    require_same_matmul(found, right, args.depth, static_cast<double>(args.alpha), c_.dtype());
  }

  KernelLibrary& kernels_;
  MatmulRecorder recorder_;
  Precision precision_;
  Arena arena_;
  MatmulProblem problem_;
  Tensor c_, kept_, workspace_;
  std::vector<float> expected_;
};

// On a CPU the cost of a tile is predicted well, and a driver takes a second to compile one: only tiles within 10 % of
// the best predicted cost are measured, for most shapes none.
std::vector<MatmulKernel> cpu_candidates(const DeviceCaps& caps, const MatmulProblem& problem, const MatmulKernel& default_kernel) {
  if (!default_kernel.load64 || !caps.fast_64bit_loads || !operands_8_byte_aligned(problem.args)) return {default_kernel};
  const MatmulTile suggested = choose_matmul_tile(caps, problem.args.rows, problem.args.cols, true, default_kernel);
  const auto cost = [&](const MatmulKernel& kernel) {
    return cpu_load64_cost(caps.subgroup_size, problem.args.rows, problem.args.cols, kernel.tile, kernel.tile_cols);
  };
  MatmulKernel first = default_kernel;
  first.tile = suggested.rows;
  first.tile_cols = suggested.cols / caps.subgroup_size;
  std::vector<MatmulKernel> candidates{first};
  for (const auto& [rows, vectors] : matmul_tiles(caps, default_kernel)) {
    MatmulKernel candidate = default_kernel;
    candidate.tile = rows;
    candidate.tile_cols = vectors;
    if (candidate.to_string() != first.to_string() && cost(candidate) <= 1.1 * cost(first)) candidates.push_back(candidate);
  }
  return candidates;
}

// Every tile, without split-K, with as many parts as fill the device, and with twice as many.
void add_tiles(std::vector<MatmulKernel>& candidates, const DeviceCaps& caps, const MatmulProblem& problem, MatmulKernel kind,
               const Tensor& workspace) {
  const uint32_t most = max_splits(problem, kind, workspace);
  for (const auto& [rows, cols] : matmul_tiles(caps, kind)) {
    kind.tile = rows;
    kind.tile_cols = rows == cols ? 0 : cols;
    const uint64_t tiles = ceil_div(problem.args.rows, rows) * ceil_div(problem.args.cols, cols);
    const auto filling = static_cast<uint32_t>(std::min<uint64_t>(ceil_div(kMinWorkgroups, tiles), most));
    for (const uint32_t splits : {1U, filling, std::min(2 * filling, most)}) {
      kind.splits = splits;
      const auto same = [&](const MatmulKernel& other) { return other.to_string() == kind.to_string(); };
      if ((splits == 1 || filling > 1) && std::ranges::none_of(candidates, same)) candidates.push_back(kind);
    }
  }
}

}  // namespace

bool supports_coopmat2(const DeviceCaps& caps, const MatmulProblem& problem, Precision precision) {
  const DType operand_type = storage_type(precision);
  const auto fits = [&](const ConstTensor& tensor) { return tensor.dtype() == operand_type && tensor.slice().buffer_offset_bytes() % 16 == 0; };
  return !why_no_coopmat2(caps, precision) && fits(problem.a) && fits(problem.b);
}

std::vector<MatmulKernel> matmul_candidates(const DeviceCaps& caps, const MatmulProblem& problem, const MatmulKernel& default_kernel,
                                            const Tensor& workspace) {
  if (default_kernel.kernel_class == KernelClass::cpu) return cpu_candidates(caps, problem, default_kernel);
  MatmulKernel first = default_kernel;
  if (first.tile == 0) {
    const MatmulTile tile = choose_matmul_tile(caps, problem.args.rows, problem.args.cols, false, default_kernel);
    first.tile = tile.rows;
    if (first.kernel_class == KernelClass::coopmat2) first.tile_cols = tile.cols;  // the others have square tiles
  }
  std::vector<MatmulKernel> candidates{first};
  add_tiles(candidates, caps, problem, default_kernel, workspace);
  if (default_kernel.kernel_class == KernelClass::coopmat && layout_of(problem.args) != MatmulLayout::nt) {
    MatmulKernel other = default_kernel;
    other.transposes = !default_kernel.transposes;
    add_tiles(candidates, caps, problem, other, workspace);
  }
  if (default_kernel.kernel_class == KernelClass::coopmat && supports_coopmat2(caps, problem, default_kernel.precision))
    add_tiles(candidates, caps, problem, {.kernel_class = KernelClass::coopmat2, .precision = default_kernel.precision}, workspace);
  return candidates;
}

void require_same_matmul(const std::vector<float>& values, const std::vector<float>& expected, uint32_t depth, double alpha, DType stored,
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

MatmulKernel tune_matmul(KernelTuner& tuner, const MatmulProblem& problem, const MatmulKernel& default_kernel, const Tensor& workspace,
                         const MatmulRecorder& recorder) {
  const auto set_up = [&] {
    std::vector<std::unique_ptr<KernelTrial<MatmulKernel>>> trials;
    trials.push_back(std::make_unique<MatmulTrial>(tuner.kernels(), bounded(problem, trial_flops(tuner.kernels().device())), default_kernel.precision,
                                                   workspace, recorder));
    return trials;
  };
  return tuner.choose<MatmulKernel>(key_of(problem, default_kernel.precision), matmul_candidates(tuner.caps(), problem, default_kernel, workspace),
                                    set_up);
}

}  // namespace lapilli
