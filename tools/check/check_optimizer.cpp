// The norm of gradients, and AdamW.

#include <cmath>

#include "model/ops/optimizer.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_optimizer.h"

namespace lapilli::check {

namespace {

Verify prepare_norm(KernelBench& bench, uint32_t count) {
  const auto values = random_values(count, 1);
  const auto blocks = static_cast<uint32_t>(gradient_norm_scratch_floats(count));
  const Tensor gradients = bench.input({count}, values), scratch = bench.output({blocks});
  const std::vector<float> clips{0.0F, 1e-3F, 1e9F};
  std::vector<Tensor> results;
  for (size_t i = 0; i < clips.size(); ++i) results.push_back(bench.output({2}));
  double workgroup = 0;
  bench.record([&](Ops& ops) {
    workgroup = ops.row_workgroup();
    for (size_t i = 0; i < clips.size(); ++i) gradient_norm(ops, results[i], scratch, gradients, {}, clips[i]);
  });
  return [=, &bench](CaseReport& report) {
    const reference::GradientNorm expected(values, blocks, workgroup);
    for (size_t i = 0; i < clips.size(); ++i) {
      const auto clip = static_cast<double>(clips[i]);
      const Doubles value{expected.norm, expected.scale(clip)}, bound{expected.relative * expected.norm, expected.scale_bound(clip)};
      report.close(bench.read(results[i]), value, bound, fmt::format("{}, clip {}", count, clip));
    }
  };
}

Verify prepare_adamw(KernelBench& bench, uint32_t count, DType copy_type) {
  const auto p_values = random_values(count, 1), g_values = random_values(count, 3);
  auto m_values = random_values(count, 2, 0.1F), v_values = random_values(count, 4, 0.5F);
  for (float& value : v_values) value *= value;
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  const std::vector<float> scalars{1e-2F, static_cast<float>(1 / (1 - std::pow(options.beta1, 3))),
                                   static_cast<float>(1 / (1 - std::pow(options.beta2, 3))), 1.0F},
      norm{5.0F, 0.2F};
  const Tensor p = bench.input({count}, p_values), m = bench.input({count}, m_values), v = bench.input({count}, v_values);
  const Tensor g = bench.input({count}, g_values), step = bench.input({4}, scalars), norm_and_scale = bench.input({2}, norm);
  const Tensor copy = copy_type == DType::f32 ? Tensor() : bench.output({count}, copy_type);
  bench.record([&](Ops& ops) { adamw(ops, p, m, v, copy, g, step, norm_and_scale, options); });
  return [=, &bench](CaseReport& report) {
    const auto d = [](float value) { return static_cast<double>(value); };
    const reference::AdamW reference{d(scalars[0]), d(scalars[1]), d(scalars[2]),        options.beta1,
                                     options.beta2, options.eps,   options.weight_decay, d(norm[1])};
    Doubles value[3], bound[3];
    for (uint32_t i = 0; i < count; ++i) {
      const auto e = reference.step(d(p_values[i]), d(m_values[i]), d(v_values[i]), d(g_values[i]));
      value[0].push_back(e.p), bound[0].push_back(e.p_bound);
      value[1].push_back(e.m), bound[1].push_back(e.m_bound);
      value[2].push_back(e.v), bound[2].push_back(e.v_bound);
    }
    const auto updated = bench.read(p);
    report.close(updated, value[0], bound[0], fmt::format("{}, p", count));
    report.close(bench.read(m), value[1], bound[1], fmt::format("{}, m", count));
    report.close(bench.read(v), value[2], bound[2], fmt::format("{}, v", count));
    if (copy) report.equal(bench.read(copy), stored(updated, copy_type), fmt::format("{}, shadow weights", count));
  };
}

}  // namespace

std::vector<KernelCheck> optimizer_checks(const DeviceCaps& device) {
  KernelCheck norm{.kernel = "gradient norm", .variant = "f32"};
  for (const uint32_t count : {4097U, 1U, 97U, 4095U, 100003U}) norm.cases.push_back([=](KernelBench& bench) { return prepare_norm(bench, count); });
  std::vector<KernelCheck> checks{std::move(norm)};
  for (const Precision precision : precisions(device)) {
    const DType copy = storage_type(precision);
    KernelCheck adamw{.kernel = "adamw",
                      .variant = copy == DType::f32 ? "f32" : fmt::format("with {} shadow weights", to_string(precision)),
                      .precision = precision};
    for (const uint32_t count : {1031U, 1U, 257U, 4098U})
      if (copy == DType::f32 || count > 1)
        adamw.cases.push_back([=](KernelBench& bench) { return prepare_adamw(bench, copy == DType::f32 ? count : count / 2 * 2, copy); });
    checks.push_back(std::move(adamw));
  }
  return checks;
}

}  // namespace lapilli::check
