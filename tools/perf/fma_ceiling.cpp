#include "tools/perf/fma_ceiling.h"

#include <algorithm>
#include "shaders/bench/args.h"
#include "shaders/embedded_shaders.h"

namespace lapilli {

namespace {

constexpr uint32_t kUnrolled = 64;  // as in shaders/bench/bench_fma.comp
constexpr double kTrialSeconds = 0.01, kRunSeconds = 0.025;

std::string name_of(uint32_t chains, bool fused) { return fmt::format("{} chains{}", chains, fused ? ", fma()" : ""); }

const Kernel& fma_kernel(const Ops& ops, uint32_t workgroup, uint32_t chains, bool fused) {
  return ops.kernel("bench_fma", workgroup, {{args::SPEC_TILE_COLS, chains}, {args::SPEC_VARIANT, fused ? 1U : 0U}});
}

}  // namespace

FmaCeiling::FmaCeiling(KernelLibrary& kernels, Tuner* tuner) : kernels_(kernels), arena_(kernels.device().caps(), "ceiling") {
  const DeviceCaps& caps = kernels.device().caps();
  const bool cpu = caps.kernel_class == KernelClass::cpu;
  workgroup_ = cpu ? caps.subgroup_size : std::max(256U, caps.subgroup_size);
  groups_ = cpu ? 256 : 16384;  // many times the units of any device, so that the last wave is negligible
  result_ = reserve_tensor(arena_, {workgroup_ * groups_}, "ceiling");
  arena_.commit(kernels.device());

  best_ = &kForms[tuner == nullptr ? try_forms() : recall_form(*tuner)];
  const uint32_t steps = steps_for(*best_, kRunSeconds);
  program_ = record(*best_, steps);
  flops_ = flops_of(*best_, steps);
  form_ = name_of(best_->chains, best_->fused);
}

double FmaCeiling::run_for(double seconds) const {
  const double rate = flops_ / program_->run();
  const double steps = seconds * rate / flops_of(*best_, 1);
  Program program(kernels_.device(), "long submission", true);
  Ops ops{program, kernels_};
  record_steps(ops, *best_, static_cast<uint32_t>(std::clamp(steps, 1.0, 1e9)));
  program.finish();
  return wall_seconds([&] { program.run(); });
}

size_t FmaCeiling::recall_form(Tuner& tuner) const {
  std::vector<std::string> names;
  for (const Form& form : kForms) names.push_back(name_of(form.chains, form.fused));
  // Forms differ in work: compares the time for 10^12 FLOPs.
  return tuner
      .choose("multiply-add ceiling", names,
              [&](size_t index) {
                const uint32_t steps = steps_for(kForms[index], kTrialSeconds);
                const std::shared_ptr<TimedProgram> program = record(kForms[index], steps);
                return [program, flops = flops_of(kForms[index], steps)] { return program->run() / flops * 1e12; };
              })
      .index;
}

size_t FmaCeiling::try_forms() const {
  std::vector<std::unique_ptr<TimedProgram>> programs;
  std::vector<BenchmarkCase> trials;
  std::vector<double> flops;
  for (const Form& form : kForms) {
    const uint32_t steps = steps_for(form, kTrialSeconds);
    programs.push_back(record(form, steps));
    trials.push_back(programs.back()->benchmark_case());
    flops.push_back(flops_of(form, steps));
  }
  const std::vector<Timing> timings = measure(trials, {.repeats = 5});
  size_t fastest = 0;  // by the best round: other programs may disturb some rounds
  for (size_t i = 1; i < timings.size(); ++i)
    if (flops[i] / timings[i].min > flops[fastest] / timings[fastest].min) fastest = i;
  return fastest;
}

double FmaCeiling::flops_of(const Form& form, uint32_t steps) const { return 2.0 * kUnrolled * form.chains * steps * workgroup_ * groups_; }

std::unique_ptr<TimedProgram> FmaCeiling::record(const Form& form, uint32_t steps) const {
  return std::make_unique<TimedProgram>(kernels_, "multiply-add", [this, form, steps](Ops& ops) { record_steps(ops, form, steps); });
}

void FmaCeiling::record_steps(Ops& ops, const Form& form, uint32_t steps) const {
  const args::BenchFmaArgs args{.result = result_, .count = workgroup_ * groups_, .steps = steps, .shift = 0.1875F};
  ops.program.dispatch(fma_kernel(ops, workgroup_, form.chains, form.fused), args, groups_, {.flops = flops_of(form, steps)});
}

uint32_t FmaCeiling::steps_for(const Form& form, double seconds) const {
  uint32_t steps = 1;  // 13 GFLOP on a GPU, in one dispatch
  while (steps < 1U << 20U) {
    const double taken = record(form, steps)->run();
    if (taken >= seconds) break;
    steps *= static_cast<uint32_t>(std::clamp(1.2 * seconds / taken, 2.0, 16.0));
  }
  return steps;
}

double measure_fma_ceiling(Device& device) {
  KernelLibrary kernels(device, embedded_shaders());
  Tuner tuner(device.caps(), embedded_shaders_hash(), {.seconds_budget = 0.5});
  FmaCeiling ceiling(kernels, &tuner);
  const BenchmarkCase benchmark_cases[] = {ceiling.benchmark_case()};
  const double flops_per_s = ceiling.flops() / measure(benchmark_cases, {.repeats = 5})[0].median;
  device.set_measured_peak(flops_per_s);
  return flops_per_s;
}

double measure_copy_ceiling(KernelLibrary& kernels) {
  DeviceCaps caps = kernels.device().caps();
  caps.available_bytes = kernels.device().query_available_bytes();
  const uint64_t bytes = ceiling_copy_bytes(caps);
  const Shape shape{static_cast<uint32_t>(bytes / sizeof(float))};
  BenchMemory memory(kernels.device());
  const Tensor source = memory.zeros(shape), destination = memory.zeros(shape);
  memory.commit();
  TimedProgram copy(kernels, "copy", [&](Ops& ops) { ops.program.copy(destination.slice(), source.slice()); });
  const BenchmarkCase benchmark_cases[] = {copy.benchmark_case()};
  return 2.0 * static_cast<double>(bytes) / measure(benchmark_cases, {.repeats = 5})[0].median;
}

uint64_t ceiling_copy_bytes(const DeviceCaps& caps) {
  constexpr uint64_t kMib = uint64_t{1} << 20U;
  const uint64_t wish = caps.type == VK_PHYSICAL_DEVICE_TYPE_CPU ? 128 * kMib : 512 * kMib;
  return std::max(std::min({wish, caps.max_allocation_bytes / 2, caps.available_bytes / 4}) / kMib, uint64_t{1}) * kMib;
}

void record_empty_dispatch(Ops& ops, Tensor result, bool ordered) {
  args::BenchFmaArgs args{};
  if (ordered) args.result = result;
  const uint32_t workgroup = ops.caps().subgroup_size;
  ops.program.dispatch(fma_kernel(ops, workgroup, 8, false), args, 1);
}

}  // namespace lapilli
