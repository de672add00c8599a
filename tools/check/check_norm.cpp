// Norms and column sums.

#include <array>

#include "model/ops/norm.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_norm.h"

namespace lapilli::check {

namespace {

constexpr float kEps = 1e-5F;

struct NormCase {
  uint32_t rows, dim;
  bool centred;
  DType memory;  // of y and d_y
  reference::Norm reference() const { return {rows, dim, centred, static_cast<double>(kEps)}; }
};

std::vector<float> with_mean(std::vector<float> values) {
  for (float& value : values) value += 0.5F;  // a significant mean
  return values;
}

Doubles with_storage(const Doubles& value, Doubles bound, DType dtype) {
  for (size_t i = 0; i < bound.size(); ++i) bound[i] += storage_rounding(dtype) * (std::abs(value[i]) + bound[i]) + storage_floor(dtype);
  return bound;
}

Verify prepare_forward(KernelBench& bench, const NormCase& p) {
  const auto x_values = with_mean(random_values(uint64_t{p.rows} * p.dim, 1, 2.0F)), weights = random_values(p.dim, 2),
             biases = random_values(p.dim, 3);
  const Tensor x = bench.input({p.rows, p.dim}, x_values), weight = bench.input({p.dim}, weights), bias = bench.input({p.dim}, biases);
  const Tensor y = bench.output({p.rows, p.dim}, p.memory), mean = bench.output({p.rows}), rstd = bench.output({p.rows});
  double roundings = 0;
  bench.record([&](Ops& ops) {
    roundings = reference::row_sum_roundings(p.dim, norm_workgroup(ops, p.dim));
    if (p.centred) layernorm_forward(ops, y, mean, rstd, x, weight, bias, kEps);
    else rmsnorm_forward(ops, y, rstd, x, weight, kEps);
  });
  return [=, &bench](CaseReport& report) {
    const auto expected = p.reference().forward(widen(x_values), widen(weights), p.centred ? widen(biases) : Doubles{}, roundings);
    const std::string shape = fmt::format("{}x{}", p.rows, p.dim);
    report.close(bench.read(y), expected.y, with_storage(expected.y, expected.y_bound, p.memory), shape + ", y");
    report.close(bench.read(rstd), expected.rstd, expected.rstd_bound, shape + ", rstd");
    if (p.centred) report.close(bench.read(mean), expected.mean, expected.mean_bound, shape + ", mean");
  };
}

Verify prepare_backward(KernelBench& bench, const NormCase& p) {
  const auto x_values = with_mean(random_values(uint64_t{p.rows} * p.dim, 1, 2.0F)), weights = random_values(p.dim, 2);
  const auto d_y_values = stored(random_values(x_values.size(), 4), p.memory), old = random_values(x_values.size(), 5);
  const auto saved = p.reference().forward(widen(x_values), widen(weights), {}, 0);
  const auto means = narrow(saved.mean), rstds = narrow(saved.rstd);
  const Tensor x = bench.input({p.rows, p.dim}, x_values), weight = bench.input({p.dim}, weights), mean = bench.input({p.rows}, means);
  const Tensor rstd = bench.input({p.rows}, rstds), d_y = bench.input({p.rows, p.dim}, d_y_values, p.memory);
  const Tensor scratch = bench.output({static_cast<uint32_t>(norm_scratch_floats(p.rows, p.dim))});
  const Tensor d_x = bench.output({p.rows, p.dim}), sum_x = bench.input({p.rows, p.dim}, old);
  const Tensor d_weight = bench.output({p.dim}), d_bias = p.centred ? bench.output({p.dim}) : Tensor();
  const Tensor again = bench.output({p.dim}), again_bias = p.centred ? bench.output({p.dim}) : Tensor();
  double roundings = 0;
  bench.record([&](Ops& ops) {
    roundings = reference::row_sum_roundings(p.dim, norm_workgroup(ops, p.dim));
    const auto record = [&](Tensor into_x, Tensor into_weight, Tensor into_bias, Into into) {
      if (p.centred) layernorm_backward(ops, into_x, into_weight, into_bias, scratch, d_y, x, mean, rstd, weight, into, Into::overwrite);
      else rmsnorm_backward(ops, into_x, into_weight, scratch, d_y, x, rstd, weight, into, Into::overwrite);
    };
    record(d_x, d_weight, d_bias, Into::overwrite);
    record(sum_x, again, again_bias, Into::accumulate);
  });
  return [=, &bench](CaseReport& report) {
    const RowBlocks blocks = norm_blocks(p.rows);
    const auto expected = p.reference().backward(widen(d_y_values), widen(x_values), widen(means), widen(rstds), widen(weights), roundings,
                                                 blocks.rows_per_block + blocks.count);
    const std::string shape = fmt::format("{}x{}", p.rows, p.dim);
    const auto got = bench.read(d_x);
    report.close(got, expected.d_x, expected.d_x_bound, shape + ", d_x");
    report.close(bench.read(d_weight), expected.d_weight, expected.d_weight_bound, shape + ", d_weight");
    if (p.centred) report.close(bench.read(d_bias), expected.d_bias, expected.d_bias_bound, shape + ", d_bias");
    Doubles sum = widen(got);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(old[i]);
    report.close(bench.read(sum_x), sum, 1, 0, shape + ", accumulated d_x");
  };
}

}  // namespace

std::vector<KernelCheck> norm_checks(const DeviceCaps& device) {
  std::vector<KernelCheck> checks;
  for (const bool centred : {true, false})
    for (const bool backward : {false, true})
      for (const Precision precision : precisions(device)) {
        const DType memory = storage_type(precision);
        KernelCheck check{.kernel = fmt::format("{} {}", centred ? "layernorm" : "rmsnorm", backward ? "backward" : "forward"),
                          .variant = fmt::format("{} in {}", backward ? "d_y" : "y", to_string(precision)),
                          .precision = precision};
        for (const auto& [rows, dim] : std::vector<std::array<uint32_t, 2>>{{31, 98}, {1, 1}, {97, 33}, {5, 1030}, {257, 64}, {3, 1031}, {1041, 6}}) {
          if (memory != DType::f32 && dim % 2 != 0) continue;  // rows are whole words
          check.cases.push_back([=, p = NormCase{rows, dim, centred, memory}](KernelBench& bench) {
            return backward ? prepare_backward(bench, p) : prepare_forward(bench, p);
          });
        }
        checks.push_back(std::move(check));
      }
  return checks;
}

}  // namespace lapilli::check
