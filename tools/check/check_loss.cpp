// The loss and its gradients: every strategy with every kernel of the logits, masks, and all options.

#include <cmath>

#include "model/matmul/matmul_tile.h"
#include "tools/check/check_list.h"
#include "tools/check/loss_case.h"

namespace lapilli::check {

namespace {

struct LossVariant {
  MatmulKernel kernel;
  DType memory = DType::f32;  // of x and w
  std::string to_string() const {
    const std::string text = fmt::format("{} {}", lapilli::to_string(kernel.precision), kernel.to_string());
    return kernel.precision == Precision::f32 ? text : text + (memory == DType::f32 ? ", f32 memory" : ", 16-bit memory");
  }
};

// The kernels of the logits: as LinearCrossEntropy's candidates, and what starts at once on CPU drivers.
std::vector<LossVariant> variants(const DeviceCaps& device) {
  std::vector<LossVariant> all;
  for (const MatmulKernel& kernel : matmul_variants(device)) {
    if (kernel.kernel_class == KernelClass::cpu || kernel.transposes) continue;
    const uint32_t cols = kernel.tile_cols != 0 ? kernel.tile_cols : kernel.tile;
    if (kernel.kernel_class == KernelClass::coopmat2 && kernel.tile * cols > 128 * 128) continue;
    if (kernel.kernel_class != KernelClass::coopmat2) all.push_back({kernel});
    if (kernel.precision != Precision::f32) all.push_back({kernel, storage_type(kernel.precision)});
  }
  if (device.kernel_class == KernelClass::cpu) {
    const MatmulKernel cpu{.kernel_class = KernelClass::cpu};
    all.push_back({cpu});
    all.push_back({quick_matmul_kernel(cpu)});
  }
  return all;
}

LossProblem problem(uint32_t tokens, uint32_t dim, uint32_t vocab, bool options) {
  LossProblem p = make_problem(tokens, dim, vocab, 19);
  for (uint32_t n = 0; n < p.tokens; n += 3) p.weights[n] = n % 2 == 0 ? 0 : 0.5;
  if (p.tokens > 4) p.targets[4] = LossProblem::kIgnore;
  if (p.tokens < 3) p.weights[0] = 0.5;
  if (!options) return p;
  p.smoothing = static_cast<double>(0.1F);
  p.z_loss = static_cast<double>(1e-3F);
  p.softcap = 5;
  p.temperature = 1.5;
  return p;
}

Verify prepare_loss(KernelBench& bench, const LossVariant& variant, const LossProblem& given, const std::string& strategy) {
  const LossProblem p = taken(given, variant.kernel);
  const uint32_t all = 0xFFFFFFFF, rows = p.tokens / 2 + 1, columns = p.vocab / 3 + 1;
  const Partition partition = strategy == "full"     ? Partition{"full", p.tokens, p.vocab, all}
                              : strategy == "tokens" ? Partition{"tokens", rows, p.vocab, all}
                                                     : Partition{"vocab", p.tokens, columns, 2};
  const auto loss = std::make_shared<LossCase>(bench, p, plan_of(p, partition),
                                               RunOptions{.force = variant.kernel, .x_type = variant.memory, .w_type = variant.memory});
  bench.record([&](Ops& ops) { loss->record(ops); });
  return [=, &bench](CaseReport& report) {
    const LossResult expected = reference::loss(p);
    const LossBounds bounds = bounds_of(p, expected, logit_error(p), variant.kernel.precision);
    const LossRun actual = loss->read(bench);
    const std::string shape = fmt::format("N {} D {} V {}", p.tokens, p.dim, p.vocab);
    report.close(actual.nll, expected.nll, bounds.nll, shape + ", nll");
    report.near(actual.sums.nll, expected.sum_nll, bounds.sum_nll, shape + ", sum of nll");
    report.near(actual.sums.objective, expected.sum_objective, bounds.sum_objective, shape + ", objective");
    report.near(actual.sums.weight, expected.weight, 16 * kEpsilon * expected.weight, shape + ", weight");
    report.near(actual.sums.top1_correct, expected.top1_correct, 0, shape + ", top-1 correct");
    report.close(actual.d_x, expected.d_x, bounds.d_x, shape + ", d_x");
    report.close(actual.d_w, expected.d_w, bounds.d_w, shape + ", d_w");
  };
}

}  // namespace

std::vector<KernelCheck> loss_checks(const DeviceCaps& device) {
  std::vector<KernelCheck> checks;
  for (const char* strategy : {"full", "tokens", "vocab"})
    for (const LossVariant& variant : variants(device)) {
      KernelCheck check{.kernel = fmt::format("loss {}", strategy), .variant = variant.to_string(), .precision = variant.kernel.precision};
      if (variant.kernel.kernel_class != KernelClass::cpu) {
        check.tuning_key = fmt::format("loss logits {}", to_string(variant.kernel.precision));
        check.candidate = variant.kernel.to_string();
      }
      struct Size {
        uint32_t tokens, dim, vocab;
        bool options;
      };
      for (const auto& [tokens, dim, vocab, options] : std::vector<Size>{{29, 12, 131, false},
                                                                         {37, 12, 131, true},
                                                                         {1, 1, 1, false},
                                                                         {31, 67, 101, false},
                                                                         {139, 6, 521, false},
                                                                         {39, 66, 513, true},
                                                                         {7, 1, 13, true}})
        if (variant.memory == DType::f32 || dim % 2 == 0)  // rows of 16 bits are whole words
          check.cases.push_back([=, p = problem(tokens, dim, vocab, options)](KernelBench& bench) {
            return prepare_loss(bench, variant, p, strategy);
          });
      checks.push_back(std::move(check));
    }
  return checks;
}

}  // namespace lapilli::check
