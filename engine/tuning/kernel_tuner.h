#pragma once
// Which kernel an operation gets: measured for each shape as it is recorded, among those that device and shape leave sensible.
//
// Candidates work on random numbers in memory of their own, of the operation's shape, or of a part of it where the whole would take long.
// One whose result is not that of the first that works, beginning with `own`, the kernel taken without a measurement, is out, and said so: a
// driver that computes it wrongly is not trusted. The first is held against what can be known: sampled elements of a product, the mean loss of
// random logits, that attention gives numbers.

#include "engine/tuning/tuner.h"
#include "model/attention/attention.h"
#include "model/loss/loss_plan.h"
#include "model/matmul/matmul.h"

namespace lapilli {

struct MatmulProduct;

class KernelTuning {
 public:
  // Both must outlive the object.
  KernelTuning(KernelLibrary& kernels, Tuner& tuner) : kernels_(kernels), tuner_(tuner) {}

  // `workspace` bounds splits. Fewer rows are measured (tn: less depth) where that would take long.
  MatmulKernel choose(const MatmulProduct& product, const MatmulKernel& own, const Tensor& workspace);
  // `memory`: the type of qkv, and of what is read and written with it. Fewer sequences are measured where that would take long.
  AttentionKernel choose(const AttentionShape& shape, AttentionPass pass, Precision precision, DType memory, const AttentionKernel& own);

  // What makes the logits of a loss, out of kernels of one precision, `own` first. One chunk is measured, scored only; fewer rows of it
  // where that would take long. What is compared is a small loss with all its options and gradients.
  MatmulKernel choose(const LossShape& shape, const LossPlan& plan, const std::vector<MatmulKernel>& candidates);

 private:
  // Its memory is there when `set_up` returns; `record` then records a candidate, which asks for its kernels, and `check` gives what runs it
  // once. Where there is no memory to measure with, the first is taken: that is no reason not to train. Throws Error where no candidate works.
  template <typename Kernel>
  struct Trials {
    std::function<void()> set_up;
    std::function<void(const Kernel&)> record;
    std::function<std::function<double()>(const Kernel&)> check;
  };
  template <typename Kernel>
  Kernel choose_of(const std::string& key, const std::vector<Kernel>& candidates, const Trials<Kernel>& trials) {
    std::vector<std::string> names;
    for (const Kernel& candidate : candidates) names.push_back(candidate.to_string());
    return candidates[choose_index(key, names, {.set_up = trials.set_up,
                                                .record = [&](const size_t& index) { trials.record(candidates[index]); },
                                                .check = [&](const size_t& index) { return trials.check(candidates[index]); }})];
  }
  size_t choose_index(const std::string& key, const std::vector<std::string>& names, const Trials<size_t>& trials);

  KernelLibrary& kernels_;
  Tuner& tuner_;
};

}  // namespace lapilli
