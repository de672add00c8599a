// Which kernel makes the logits of a loss.

#include <algorithm>
#include <cmath>

#include "model/kernel_tuning.h"
#include "model/loss.h"
#include "model/trial.h"

namespace lapilli {

namespace {

constexpr uint32_t kFewestRows = 1024;

// What makes the logits of one loss as fast as another's: "loss logits 4096x2048x768 f16".
std::string key_of(const LossShape& shape, const LossPlan& plan, Precision precision) {
  return fmt::format("loss logits {}x{}x{} {}", plan.range, plan.chunk, shape.dim, to_string(precision));
}

// One chunk that is scored, of fewer rows where all would take long.
LossPlan bounded(const LossPlan& plan, uint32_t dim, double flops_limit) {
  const double rows = plan.range * std::min(1.0, flops_limit / (2.0 * plan.range * dim * plan.chunk));
  const uint32_t range = std::min(plan.range, std::max(kFewestRows, static_cast<uint32_t>(rows)));
  return {.strategy = LossStrategy::vocab, .range = range, .chunk = plan.chunk, .slabs = 0};
}

// It, in memory of its own, and what it should give.
class Trial {
 public:
  Trial(KernelLibrary& kernels, const LossPlan& plan, uint32_t dim, Precision precision, const std::vector<MatmulKernel>& candidates)
      : kernels_(kernels), plan_(plan), precision_(precision), arena_(kernels.device().caps(), "loss measurement") {
    Device& device = kernels.device();
    const DType factors = dim % 2 == 0 ? storage_type(precision) : DType::f32;
    const auto tensor = [&](Shape shape, DType dtype = DType::f32) { return reserve_tensor(arena_, shape, "measurement", dtype); };
    x_ = tensor({plan.range, dim}, factors);
    w_ = tensor({plan.chunk, dim}, factors);
    targets_ = tensor({plan.range}, DType::u32);
    weights_ = tensor({plan.range});
    outputs_ = {.nll = tensor({plan.range}), .sums = tensor({args::kSumCount}), .status = tensor({args::kStatusWords}, DType::u32)};
    {
      Arena::Alternatives one_at_a_time(arena_);
      for (const MatmulKernel& kernel : candidates) {
        losses_.emplace_back(kernel, std::make_unique<LinearCrossEntropy>(arena_, device.caps(), LossShape{plan.range, dim, plan.chunk}, LossOptions(), plan, kernel));
        one_at_a_time.next();
      }
    }
    arena_.commit(device);
    fill_random(device, x_, 1);
    fill_random(device, w_, 2);
    std::vector<uint32_t> targets;
    for (uint32_t n = 0; n < plan.range; ++n) targets.push_back(static_cast<uint32_t>(uint64_t{n} * 7919 % plan.chunk));
    write_slice(device, targets_.slice(), targets);
    write_slice(device, weights_.slice(), std::vector<float>(plan.range, 1.0F));
  }

  // Returns what scores once and gives the seconds. Throws Error when the result is another than the first kernel's.
  std::function<double()> record(const MatmulKernel& kernel) {
    const auto program = std::make_shared<Program>(kernels_.device(), "loss measurement", true);
    Ops ops{.program = *program, .kernels = kernels_, .precision = precision_};
    const auto loss = std::ranges::find_if(losses_, [&](const auto& each) { return each.first.to_string() == kernel.to_string(); });
    loss->second->forward(ops, outputs_, {.x = x_, .w = w_, .targets = targets_, .weights = weights_});
    program->finish();
    poison(kernels_.device(), outputs_.nll);
    program->run();
    require_same_losses(kernel);
    return timed_run(program);
  }

 private:
  // Worst case: factors are below 1, so a logit of D products errs by D roundings of D, and the sum of V exps by V.
  void require_same_losses(const MatmulKernel& kernel) {
    const std::vector<float> nll = read_ends(kernels_.device(), outputs_.nll);
    if (expected_.empty()) expected_ = nll;
    const double dim = x_.cols(), bound = 2 * 0x1p-24 * (2 * dim * dim + plan_.chunk + 64);
    for (size_t i = 0; i < nll.size(); ++i) {
      const auto value = static_cast<double>(nll[i]), right = static_cast<double>(expected_[i]);
      if (!(std::abs(value - right) <= bound * (1 + std::abs(right) / dim)))
        throw Error("{} gives a wrong loss: {} nats where {} are right", kernel.to_string(), value, right);
    }
  }

  KernelLibrary& kernels_;
  LossPlan plan_;
  Precision precision_;
  Arena arena_;
  Tensor x_, w_, targets_, weights_;
  LossOutputs outputs_;
  std::vector<std::pair<MatmulKernel, std::unique_ptr<LinearCrossEntropy>>> losses_;
  std::vector<float> expected_;
};

}  // namespace

MatmulKernel KernelTuning::choose(const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates) {
  const Precision precision = candidates.front().precision;
  std::unique_ptr<Trial> trial;
  const auto set_up = [&] {
    const LossPlan chunk = bounded(plan, shape.dim, trial_flops(kernels_.device().caps()));
    trial = std::make_unique<Trial>(kernels_, chunk, shape.dim, precision, candidates);
  };
  const auto record = [&](const MatmulKernel& kernel) { return trial->record(kernel); };
  return choose_of<MatmulKernel>(key_of(shape, plan, precision), candidates, set_up, record);
}

}  // namespace lapilli
