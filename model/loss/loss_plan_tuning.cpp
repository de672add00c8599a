#include "model/loss/loss_plan_tuning.h"

#include <bit>

#include "engine/memory/half.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kFewestColumns = 2048;  // that still behave like a vocabulary
// Work of one run: about 0.1 s on a CPU driver, and on a GPU of 4 TFLOP/s.
double max_flops(const DeviceCaps& caps) { return caps.kernel_class == KernelClass::cpu ? 6e9 : 4e11; }

LossShape with_fewer_columns(const LossShape& shape, double flops_limit) {
  const double flops = 6.0 * shape.tokens * (shape.dim + shape.teacher_dim / 3.0) * shape.vocab;
  LossShape fewer = shape;
  if (flops > flops_limit) fewer.vocab = std::min(shape.vocab, std::max(kFewestColumns, static_cast<uint32_t>(shape.vocab * flops_limit / flops)));
  return fewer;
}

// The same plan over fewer columns: the same number of chunks, each narrower.
LossPlan scaled(LossPlan plan, uint32_t from_columns, uint32_t to_columns) {
  const bool keeps_all = plan.logits_buffers == plan.chunks;
  plan.chunk = static_cast<uint32_t>(ceil_div(uint64_t{plan.chunk} * to_columns, from_columns));
  plan.chunks = static_cast<uint32_t>(ceil_div(to_columns, plan.chunk));
  plan.logits_buffers = keeps_all ? plan.chunks : std::min(plan.logits_buffers, plan.chunks);
  return plan;
}

// A plan, and its equivalent for the measured columns.
struct PlanCandidate {
  LossPlan whole, measured;
  std::string to_string() const { return whole.to_string(); }
};

// One batch, and a loss for each plan. The losses share memory: one runs at a time. All plans compute the same loss, so
// results are not compared.
class LossPlanTrial final : public KernelTrial<PlanCandidate> {
 public:
  LossPlanTrial(KernelLibrary& kernels, const LossOptions& options, const LossShape& shape, const MatmulKernel& kernel,
                const std::vector<PlanCandidate>& candidates)
      : kernels_(kernels), shape_(shape), precision_(kernel.precision), arena_(kernels.device().caps(), "loss measurement") {
    const auto reserve = [&](Shape tensor_shape, DType dtype = DType::f32) { return reserve_tensor(arena_, tensor_shape, "measurement", dtype); };
    // As training has them.
    const auto operand = [&](Shape tensor_shape) { return reserve(tensor_shape, tensor_shape[1] % 2 == 0 ? storage_type(precision_) : DType::f32); };
    inputs_ = {.x = operand({shape.tokens, shape.dim}),
               .w = operand({shape.vocab, shape.dim}),
               .targets = reserve({shape.tokens}, DType::u32),
               .weights = reserve({shape.tokens})};
    if (shape.teacher_dim != 0) {
      inputs_.teacher_x = operand({shape.tokens, shape.teacher_dim});
      inputs_.teacher_w = operand({shape.vocab, shape.teacher_dim});
    }
    outputs_ = {.nll = reserve({shape.tokens}), .sums = reserve({args::kSumCount}), .status = reserve({args::kStatusWords}, DType::u32)};
    gradients_ = {.d_x = reserve({shape.tokens, shape.dim}), .d_w = reserve({shape.vocab, shape.dim})};
    inverse_weight_ = reserve({1});
    {
      Arena::AliasScope one_at_a_time(arena_);
      for (const PlanCandidate& candidate : candidates) {
        losses_.emplace(candidate.to_string(),
                        std::make_unique<LinearCrossEntropy>(arena_, kernels.device().caps(), shape, options, candidate.measured, kernel));
        one_at_a_time.next();
      }
    }
    arena_.commit(kernels.device());
    fill();
  }

  void record(Program& program, const PlanCandidate& candidate) override {
    Ops ops{.program = program, .kernels = kernels_, .precision = precision_};
    losses_.at(candidate.to_string())->forward_backward(ops, outputs_, gradients_, inputs_, inverse_weight_);
  }
  std::vector<Tensor> outputs() const override { return {}; }
  void check(const PlanCandidate& /*candidate*/) override {}

 private:
  // Any values of normal magnitude.
  void fill() const {
    Program program(kernels_.device(), "loss measurement");
    const auto put = [&](const ConstTensor& tensor, float value) {
      if (!tensor) return;
      const uint32_t word = size_bytes(tensor.dtype()) == 4 ? std::bit_cast<uint32_t>(value) : 0x10001U * half_bits(value, tensor.dtype());
      program.fill(tensor.slice().sub(0, tensor.size_bytes()), word);
    };
    for (const ConstTensor& x : {inputs_.x, inputs_.teacher_x}) put(x, 0.5F);
    for (const ConstTensor& w : {inputs_.w, inputs_.teacher_w}) put(w, 0.01F);
    put(inputs_.weights, 1.0F);
    put(inputs_.targets, 0.0F);  // the bits of id 0
    put(inverse_weight_, 1.0F / static_cast<float>(shape_.tokens));
    program.finish();
    program.run();
  }

  KernelLibrary& kernels_;
  LossShape shape_;
  Precision precision_;
  Arena arena_;
  LossInputs inputs_;
  LossOutputs outputs_;
  LossGradients gradients_;
  Tensor inverse_weight_;
  std::map<std::string, std::unique_ptr<LinearCrossEntropy>> losses_;  // by the name of the candidate
};

}  // namespace

TunedLoss tune_loss(KernelTuner& tuner, const LossOptions& options, const LossShape& shape, const MatmulKernel& kernel) {
  const std::vector<LossPlan> plans = loss_candidates(options, shape);
  TunedLoss tuned{.options = options, .plan = plans.front()};
  if (options.strategy == LossStrategy::automatic) {
    const LossShape fewer = with_fewer_columns(shape, max_flops(tuner.caps()));
    std::vector<PlanCandidate> candidates;
    for (const LossPlan& plan : plans) candidates.push_back({plan, scaled(plan, shape.vocab, fewer.vocab)});
    const auto set_up = [&] {
      std::vector<std::unique_ptr<KernelTrial<PlanCandidate>>> trials;
      // All plans use the same matmul; the quick kernel saves a CPU driver half a minute of compiling at the first
      // start.
      trials.push_back(std::make_unique<LossPlanTrial>(tuner.kernels(), options, fewer, quick_matmul_kernel(kernel), candidates));
      return trials;
    };
    const std::string key =
        fmt::format("loss {}x{}x{} teacher {} {}", shape.tokens, shape.dim, shape.vocab, shape.teacher_dim, to_string(kernel.precision));
    const TunedChoice choice = tuner.tune<PlanCandidate>(key, candidates, set_up, /*seconds=*/std::nullopt);  // it takes longer than a matmul
    tuned.plan = plans[choice.index];
    tuned.reason = choice.reason;
  }
  tuned.options.strategy = tuned.plan.strategy;
  if (options.strategy == LossStrategy::automatic)
    tuned.options.chunk = tuned.plan.strategy == LossStrategy::tokens  ? tuned.plan.row_chunk
                          : tuned.plan.strategy == LossStrategy::vocab ? tuned.plan.chunk
                                                                       : 0;
  return tuned;
}

}  // namespace lapilli
