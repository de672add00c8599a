#include "tools/perf/matrix_ceiling.h"

#include <algorithm>

#include "model/matmul/matmul.h"
#include "shaders/bench/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kUnrolled = 16;  // as in shaders/bench/bench_matrix.comp
constexpr uint32_t kChains[] = {2, 4, 8};
constexpr double kTrialSeconds = 0.01, kRunSeconds = 0.04;

}  // namespace

bool has_matrix_ceiling(const DeviceCaps& caps, Precision precision) {
  return precision != Precision::f32 && has_matmul(caps, precision) && caps.type != VK_PHYSICAL_DEVICE_TYPE_CPU;
}

MatrixCeiling::MatrixCeiling(KernelLibrary& kernels, Precision precision)
    : kernels_(kernels), precision_(precision), arena_(kernels.device().caps(), "ceiling") {
  const DeviceCaps& caps = kernels.device().caps();
  CHECK(has_matrix_ceiling(caps, precision), "{} matrices on {}", to_string(precision), caps.name);
  shape_ = precision == Precision::f16 ? caps.matrix_f16 : caps.matrix_bf16;
  workgroup_ = std::max(256U, caps.subgroup_size);
  groups_ = 16384;  // many times the units of any device, so that the last wave is negligible
  result_ = reserve_tensor(arena_, {256, shape_.rows * shape_.cols}, "ceiling");
  arena_.commit(kernels.device());

  double best = 0;
  for (const uint32_t chains : kChains) {
    const uint32_t steps = steps_for(chains, kTrialSeconds);
    const auto trial = record(chains, steps);
    double seconds = trial->run();
    for (int i = 0; i < 4; ++i) seconds = std::min(seconds, trial->run());
    const double rate = flops_of(chains, steps) / seconds;
    if (rate <= best) continue;
    best = rate;
    const uint32_t run_steps = steps_for(chains, kRunSeconds);
    program_ = record(chains, run_steps);
    flops_ = flops_of(chains, run_steps);
    form_ = fmt::format("{}x{}x{}, {} chains", shape_.rows, shape_.cols, shape_.depth, chains);
  }
}

double MatrixCeiling::flops_of(uint32_t chains, uint32_t steps) const {
  const double subgroups = 1.0 * groups_ * (workgroup_ / kernels_.device().caps().subgroup_size);
  return 2.0 * shape_.rows * shape_.cols * shape_.depth * kUnrolled * chains * steps * subgroups;
}

std::unique_ptr<TimedProgram> MatrixCeiling::record(uint32_t chains, uint32_t steps) const {
  return std::make_unique<TimedProgram>(kernels_, fmt::format("{} matrices", to_string(precision_)), [this, chains, steps](Ops& ops) {
    const Kernel& kernel = ops.kernel(std::string("bench_matrix_") + to_string(precision_), workgroup_,
                                      {{args::SPEC_TILE_COLS, chains},
                                       {args::SPEC_FRAGMENT_ROWS, shape_.rows},
                                       {args::SPEC_FRAGMENT_COLS, shape_.cols},
                                       {args::SPEC_FRAGMENT_DEPTH, shape_.depth}});
    ops.program.dispatch(kernel, args::BenchMatrixArgs{.result = result_, .stored = result_.rows(), .steps = steps, .scale = 0.0625F}, groups_,
                         {.flops = flops_of(chains, steps)});
  });
}

uint32_t MatrixCeiling::steps_for(uint32_t chains, double seconds) const {
  uint32_t steps = 1;
  while (steps < 1U << 18U) {
    const double taken = record(chains, steps)->run();
    if (taken >= seconds) break;
    steps *= static_cast<uint32_t>(std::clamp(1.2 * seconds / taken, 2.0, 16.0));
  }
  return steps;
}

}  // namespace lapilli
