#include "model/attention/attention_tuning.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace lapilli {

namespace {

std::string key_of(const AttentionShape& s, AttentionPass pass, Precision precision, DType memory) {
  return fmt::format("attention {} B{} T{} H{} G{} E{} {}{}", pass == AttentionPass::forward ? "forward" : "backward", s.batch, s.context, s.heads,
                     s.kv_heads, s.head_width, to_string(precision), precision != Precision::f32 && memory == DType::f32 ? " from f32" : "");
}

// Fewer sequences if all would take too long.
AttentionShape bounded(AttentionShape s, double flops_limit) {
  const double flops = 10.0 * s.batch * s.heads * s.head_width * 0.5 * s.context * (s.context + 1.0);
  s.batch = std::max(1U, static_cast<uint32_t>(s.batch * std::min(1.0, flops_limit / flops)));
  return s;
}

// Attention forward and backward in separate memory, and the expected results.
class AttentionTrial final : public KernelTrial<AttentionKernel> {
 public:
  AttentionTrial(KernelLibrary& kernels, const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory,
                 AttentionForward& forward, AttentionBackward& backward)
      : kernels_(kernels),
        forward_(forward),
        backward_(backward),
        shape_(shape),
        pass_(pass),
        precision_(precision),
        arena_(kernels.device().caps(), "attention measurement") {
    const uint32_t n = shape.batch * shape.context, width = (shape.heads + 2 * shape.kv_heads) * shape.head_width;
    const auto tensor = [&](Shape of, DType dtype) { return reserve_tensor(arena_, of, "measurement", dtype); };
    qkv_ = tensor({n, width}, memory);
    d_qkv_ = tensor({n, width}, memory);
    out_ = tensor({n, shape.heads * shape.head_width}, memory);
    d_out_ = tensor({n, shape.heads * shape.head_width}, memory);
    lse_ = tensor({shape.batch * shape.heads * shape.context}, DType::f32);
    delta_ = tensor({shape.batch * shape.heads * shape.context}, DType::f32);
    arena_.commit(kernels.device());
    fill_random(kernels.device(), qkv_, 1);
    fill_random(kernels.device(), d_out_, 2);
    if (pass == AttentionPass::forward) return;
    Program program(kernels.device(), "attention measurement");
    Ops ops{.program = program, .kernels = kernels, .precision = precision};
    forward_(ops, out_, lse_, qkv_, {}, shape_);
    program.finish();
    program.run();
  }

  void record(Program& program, const AttentionKernel& kernel) override {
    Ops ops{.program = program, .kernels = kernels_, .precision = precision_};
    AttentionShape shape = shape_;
    shape.kernel = kernel;
    if (pass_ == AttentionPass::forward) forward_(ops, out_, lse_, qkv_, {}, shape);
    else backward_(ops, d_qkv_, delta_, d_out_, qkv_, out_, lse_, {}, {}, shape);
  }

  std::vector<Tensor> outputs() const override {
    return pass_ == AttentionPass::forward ? std::vector<Tensor>{out_, lse_} : std::vector<Tensor>{d_qkv_};
  }

  void check(const AttentionKernel& kernel) override {
    std::vector<float> values;
    for (const Tensor& output : outputs()) std::ranges::copy(read_ends(kernels_.device(), output), std::back_inserter(values));
    check_result(kernel, values, qkv_.dtype());
  }

 private:
  // As vectors: each element is a sum of T products with operands that are sums of E; what is rounded to 16 bits on the way are the
  // operands of four products and what is stored.
  void check_result(const AttentionKernel& kernel, const std::vector<float>& values, DType stored) {
    if (expected_.empty()) {
      if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
        throw Error("{} has a result that is not finite", kernel.to_string());
      expected_ = values;
    }
    double difference = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      difference += std::pow(static_cast<double>(values[i]) - static_cast<double>(expected_[i]), 2);
      size += std::pow(static_cast<double>(expected_[i]), 2);
    }
    const auto unit = [](bool f32, bool f16) { return f32 ? 0.0 : f16 ? 0x1p-11 : 0x1p-8; };
    const double bound = 2 * (shape_.context + 4.0 * shape_.head_width) * 0x1p-24 +
                         2 * 4 * unit(precision_ == Precision::f32, precision_ == Precision::f16) +
                         2 * unit(stored == DType::f32, stored == DType::f16);
    if (!(std::sqrt(difference) <= bound * std::sqrt(size)))
      throw Error("{} computes a wrong result: relative error {:.3g}", kernel.to_string(), std::sqrt(difference / size));
  }

  KernelLibrary& kernels_;
  AttentionForward& forward_;
  AttentionBackward& backward_;
  AttentionShape shape_;
  AttentionPass pass_;
  Precision precision_;
  Arena arena_;
  Tensor qkv_, d_qkv_, out_, d_out_, lse_, delta_;
  std::vector<float> expected_;
};

}  // namespace

AttentionKernel tune_attention(KernelTuner& tuner, const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory,
                               const AttentionKernel& default_kernel, AttentionForward& forward, AttentionBackward& backward) {
  const auto set_up = [&] {
    std::vector<std::unique_ptr<KernelTrial<AttentionKernel>>> trials;
    trials.push_back(std::make_unique<AttentionTrial>(tuner.kernels(), bounded(shape, trial_flops(tuner.kernels().device())), pass, precision, memory,
                                                      forward, backward));
    return trials;
  };
  return tuner.choose<AttentionKernel>(key_of(shape, pass, precision, memory),
                                       attention_candidates(tuner.caps(), precision, shape.head_width, pass, memory, default_kernel), set_up);
}

}  // namespace lapilli
