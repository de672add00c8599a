// Chooses the kernel that computes the logits of a loss.

#include "model/loss/logits_tuning.h"

#include <algorithm>
#include <cmath>

#include "model/loss/linear_cross_entropy.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kFewestRows = 1024;
// The shape for comparisons: some rows are masked and the last ones do not fill a tile; three chunks end within a tile.
// A chunk of so many columns starts at a multiple of 16 bytes for any width.
constexpr uint32_t kComparedRows = 333, kComparedChunk = 200, kComparedColumns = 2 * kComparedChunk + 61;

// Key of losses with equally fast logits: "loss logits 4096x2048x768 f16".
std::string key_of(const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates) {
  std::string key = fmt::format("loss logits {}x{}x{} {}", plan.row_chunk, plan.chunk, shape.dim, to_string(candidates.front().precision));
  // Another training step of the same shape may have memory that coopmat2 does not support.
  const bool has_coopmat2 = std::ranges::any_of(candidates, [](const MatmulKernel& kernel) { return kernel.kernel_class == KernelClass::coopmat2; });
  return has_coopmat2 ? key + " or coopmat2" : key;
}

// One chunk, with fewer rows if all would take too long.
LossPlan bounded(const LossPlan& plan, uint32_t dim, double flops_limit) {
  const double rows = plan.row_chunk * std::min(1.0, flops_limit / (2.0 * plan.row_chunk * dim * plan.chunk));
  const uint32_t row_chunk = std::min(plan.row_chunk, std::max(kFewestRows, static_cast<uint32_t>(rows)));
  return {.strategy = LossStrategy::vocab, .row_chunk = row_chunk, .chunk = plan.chunk, .logits_buffers = 0};
}

// Random operands and targets; the losses of all candidates share memory. The temperature gives the logits a standard
// deviation of about 1, so that no single exponential dominates the sums.
class LogitsTrial final : public KernelTrial<MatmulKernel> {
 public:
  LogitsTrial(KernelLibrary& kernels, const LossPlan& plan, uint32_t dim, LossOptions options, const std::vector<MatmulKernel>& candidates)
      : kernels_(kernels),
        plan_(plan),
        options_(options),
        precision_(candidates.front().precision),
        arena_(kernels.device().caps(), "loss measurement") {
    const uint32_t vocab = plan.chunks == 1 ? plan.chunk : kComparedColumns;
    options_.temperature = static_cast<float>(std::sqrt(dim) / 3);
    const DType operand_type = dim % 2 == 0 ? storage_type(precision_) : DType::f32;
    const auto tensor = [&](Shape shape, DType dtype = DType::f32) { return reserve_tensor(arena_, shape, "measurement", dtype); };
    const Tensor x = tensor({plan.row_chunk, dim}, operand_type), w = tensor({vocab, dim}, operand_type),
                 targets = tensor({plan.row_chunk}, DType::u32);
    const Tensor weights = tensor({plan.row_chunk}), inverse_weight = tensor({1});
    inputs_ = {.x = x, .w = w, .targets = targets, .weights = weights};
    inverse_weight_ = inverse_weight;
    outputs_ = {.nll = tensor({plan.row_chunk}), .sums = tensor({args::kSumCount}), .status = tensor({args::kStatusWords}, DType::u32)};
    if (plan.logits_buffers > 0) gradients_ = {.d_x = tensor({plan.row_chunk, dim}), .d_w = tensor({vocab, dim})};
    {
      Arena::AliasScope one_at_a_time(arena_);
      for (const MatmulKernel& kernel : candidates) {
        losses_.emplace_back(kernel, std::make_unique<LinearCrossEntropy>(arena_, kernels.device().caps(), LossShape{plan.row_chunk, dim, vocab},
                                                                          options_, plan, kernel));
        one_at_a_time.next();
      }
    }
    arena_.commit(kernels.device());
    fill_random(kernels.device(), x, 1);
    fill_random(kernels.device(), w, 2);
    std::vector<uint32_t> ids;
    std::vector<float> row_weights;
    for (uint32_t n = 0; n < plan.row_chunk; ++n) {
      ids.push_back(static_cast<uint32_t>(uint64_t{n} * 7919 % vocab));
      row_weights.push_back(plan.logits_buffers > 0 && n % 7 == 3 ? 0.0F : 1.0F);
    }
    write_slice(kernels.device(), targets.slice(), ids);
    write_slice(kernels.device(), weights.slice(), row_weights);
    write_slice(kernels.device(), inverse_weight.slice(), std::vector<float>{1.0F});
  }

  void record(Program& program, const MatmulKernel& kernel) override {
    Ops ops{.program = program, .kernels = kernels_, .precision = precision_};
    const auto same = [&](const auto& each) { return each.first.to_string() == kernel.to_string(); };
    LinearCrossEntropy& loss = *std::ranges::find_if(losses_, same)->second;
    if (plan_.logits_buffers > 0) loss.forward_backward(ops, outputs_, gradients_, inputs_, inverse_weight_);
    else loss.forward(ops, outputs_, inputs_);
  }

  std::vector<Tensor> outputs() const override { return {outputs_.nll, gradients_.d_x, gradients_.d_w}; }

  void check(const MatmulKernel& kernel) override {
    try {
      require_same_results();
    } catch (const Error& error) {
      throw Error("{} computes a wrong loss: {}", kernel.to_string(), error.what());
    }
  }

 private:
  // Check before other results are compared with the first: with logits of standard deviation 1 and random targets the
  // mean loss is ln V + 1/2.
  void require_plausible_loss() {
    const LossSums sums = read_loss_sums(read_slice<float>(kernels_.device(), outputs_.sums.slice()));
    const double mean = sums.nll / sums.weight, right = std::log(inputs_.w.rows()) + 0.5;
    if (!(std::abs(mean - right) < 0.5)) throw Error("the mean loss of random logits is {} nats, expected about {}", mean, right);
  }

  struct Results {
    std::vector<float> nll, d_x, d_w, top1_correct;
  };

  void require_same_results() {
    Device& device = kernels_.device();
    Results results{.nll = read_ends(device, outputs_.nll)};
    results.top1_correct = {read_slice<float>(device, outputs_.sums.slice())[args::kSumTop1Correct]};
    if (plan_.logits_buffers > 0) results.d_x = read_ends(device, gradients_.d_x), results.d_w = read_ends(device, gradients_.d_w);
    if (expected_.nll.empty()) {
      require_plausible_loss();
      expected_ = results;
    }
    const uint32_t vocab = inputs_.w.rows();
    const LossTolerance tolerance = loss_tolerance(inputs_.x.cols(), vocab, static_cast<double>(options_.temperature), precision_);
    require_same_values(results.nll, expected_.nll, tolerance.nll, "nll");
    require_same_values(results.top1_correct, expected_.top1_correct, 1, "top1_correct");  // of many rows, one may have two largest logits
    // Over a row the magnitudes of gradients add up to 2 at most; over a column to that of every row, each about 1 / V, and its targets'.
    const double of_logits = 1 / static_cast<double>(options_.temperature);
    require_same_values(results.d_x, expected_.d_x, 2 * tolerance.gradient * of_logits, "d_x");
    const uint64_t targets = plan_.row_chunk / vocab;  // of a column
    require_same_values(results.d_w, expected_.d_w, 16.0 * static_cast<double>(1 + targets) * tolerance.gradient * of_logits, "d_w");
  }

  KernelLibrary& kernels_;
  LossPlan plan_;
  LossOptions options_;
  Precision precision_;
  Arena arena_;
  LossInputs inputs_;
  ConstTensor inverse_weight_;
  LossOutputs outputs_;
  LossGradients gradients_;
  std::vector<std::pair<MatmulKernel, std::unique_ptr<LinearCrossEntropy>>> losses_;
  Results expected_;
};

}  // namespace

LossTolerance loss_tolerance(uint32_t dim, uint32_t vocab, double temperature, Precision precision) {
  const double steps = dim + 2.0, of_logit = 2 * 4 * std::sqrt(steps) * 0x1p-24 * steps / 4 / temperature;
  const double of_sum = 8 * std::sqrt(vocab) * 0x1p-24 + 64 * 0x1p-24;  // of exponentials, and exp's and ln's own
  const double rounding = precision == Precision::f16 ? 0x1p-10 : precision == Precision::bf16 ? 0x1p-7 : 0x1p-22;
  return {.nll = 2 * of_logit + 8 * of_sum, .gradient = 2 * of_logit + of_sum + rounding};
}

void require_same_values(const std::vector<float>& values, const std::vector<float>& expected, double bound, const char* what) {
  CHECK_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (!(std::abs(static_cast<double>(values[i]) - static_cast<double>(expected[i])) <= bound))
      throw Error("{} is {}, expected {}", what, values[i], expected[i]);
}

MatmulKernel tune_logits(KernelTuner& tuner, const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates) {
  const LossPlan compared{.strategy = LossStrategy::vocab, .row_chunk = kComparedRows, .chunk = kComparedChunk, .chunks = 3, .logits_buffers = 1};
  const LossOptions all_options{.label_smoothing = 0.1F, .z_loss = 1e-3F, .softcap = 10};
  const auto set_up = [&] {
    KernelLibrary& kernels = tuner.kernels();
    std::vector<std::unique_ptr<KernelTrial<MatmulKernel>>> trials;
    trials.push_back(std::make_unique<LogitsTrial>(kernels, compared, shape.dim, all_options, candidates));
    trials.push_back(std::make_unique<LogitsTrial>(kernels, bounded(plan, shape.dim, trial_flops(kernels.device())), shape.dim, LossOptions(),
                                                   candidates));
    return trials;
  };
  return tuner.choose<MatmulKernel>(key_of(shape, plan, candidates), candidates, set_up);
}

}  // namespace lapilli
