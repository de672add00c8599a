// Operations on elements: activations, dropout, sums, rotary embedding, gradients of biases.

#include <array>
#include <cmath>

#include "model/ops/activation.h"
#include "model/ops/column_sum.h"
#include "model/ops/elementwise.h"
#include "model/ops/rope.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_activation.h"
#include "tools/check/reference/reference_elementwise.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::check {

namespace {

// The bound after one more rounding, to memory of this type.
Doubles in_memory(const Doubles& value, Doubles bound, DType dtype) {
  for (size_t i = 0; i < value.size() && dtype != DType::f32; ++i)
    bound[i] += storage_rounding(dtype) * (std::abs(value[i]) + bound[i]) + storage_floor(dtype);
  return bound;
}

void close_when_stored(CaseReport& report, const std::vector<float>& actual, const std::vector<reference::Bounded>& expected, DType dtype,
                       const std::string& what) {
  Doubles value, bound;
  for (const reference::Bounded& element : expected) value.push_back(element.value), bound.push_back(element.bound);
  report.close(actual, value, in_memory(value, bound, dtype), what);
}

// In f32 also values that overflow and underflow within the functions.
std::vector<float> inputs(uint32_t count, uint32_t seed, DType dtype) {
  return dtype == DType::f32 ? awkward_values(count, seed) : stored(random_values(count, seed, 6.0F), dtype);
}

Verify prepare_gelu(KernelBench& bench, uint32_t count, DType dtype) {
  const auto values = inputs(count, 1, dtype);
  const Tensor x = bench.input({count}, values, dtype), y = bench.output({count}, dtype);
  bench.record([&](Ops& ops) { gelu_forward(ops, y, x); });
  return [=, &bench](CaseReport& report) {
    std::vector<reference::Bounded> expected;
    for (const float value : values) expected.push_back(reference::gelu(static_cast<double>(value)));
    close_when_stored(report, bench.read(y), expected, dtype, fmt::format("{}", count));
  };
}

Verify prepare_swiglu(KernelBench& bench, uint32_t rows, uint32_t width, DType dtype) {
  const auto values = inputs(2 * rows * width, 3, dtype);
  const Tensor gate_up = bench.input({rows, 2 * width}, values, dtype), y = bench.output({rows, width}, dtype);
  bench.record([&](Ops& ops) { swiglu_forward(ops, y, gate_up); });
  return [=, &bench](CaseReport& report) {
    std::vector<reference::Bounded> expected;
    for (uint32_t i = 0; i < rows * width; ++i) {
      auto element = reference::Swiglu::forward(static_cast<double>(values[2 * i]), static_cast<double>(values[2 * i + 1]));
      // 1e30 * 1e30 overflows f32, in the reference as in the kernel.
      if (std::abs(element.value) > 3.4e38) element.value = std::copysign(3.4e38, element.value), element.bound = HUGE_VAL;
      expected.push_back(element);
    }
    close_when_stored(report, bench.read(y), expected, dtype, fmt::format("{}x{}", rows, width));
  };
}

Verify prepare_add(KernelBench& bench, uint32_t count) {
  const auto a_values = random_values(count, 1), b_values = random_values(count, 2, 1000.0F);
  const Tensor a = bench.input({count}, a_values), b = bench.input({count}, b_values), y = bench.output({count});
  bench.record([&](Ops& ops) { add(ops, y, a, b); });
  return [=, &bench](CaseReport& report) {
    Doubles sum = widen(a_values);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(b_values[i]);
    // double has more than twice the digits of float: rounding twice is rounding once.
    report.equal(bench.read(y), narrow(sum), fmt::format("{}", count));
  };
}

Verify prepare_dropout(KernelBench& bench, uint32_t count, DType dtype, float rate) {
  constexpr uint32_t kStream = 77;
  const std::vector<uint32_t> state{0x12345678U, 0x9ABCDEF0U, 3U, 0xFFFFFFFFU};
  const auto x_values = random_values(count, 3), addends = random_values(count, 4);
  const Tensor x = bench.input({count}, x_values), addend = bench.input({count}, addends), random = bench.input({4}, state);
  const Tensor y = bench.output({count}, dtype), d_x = bench.output({count}, dtype);
  bench.record([&](Ops& ops) {
    dropout_forward(ops, y, x, addend, random, kStream, rate);
    dropout_backward(ops, d_x, x, random, kStream, rate);
  });
  return [=, &bench](CaseReport& report) {
    const Doubles dropped = reference::Dropout{state, kStream, static_cast<double>(rate)}.apply(widen(x_values));
    Doubles sum = dropped, bound(count), sum_bound(count);
    for (uint32_t i = 0; i < count; ++i) {
      sum[i] += static_cast<double>(addends[i]);
      bound[i] = 2.01 * kEpsilon * std::abs(dropped[i]);  // scale and the product; the addend's sum once more
      sum_bound[i] = 1.01 * kEpsilon * (2 * std::abs(dropped[i]) + std::abs(sum[i]));
    }
    report.close(bench.read(y), sum, in_memory(sum, sum_bound, dtype), fmt::format("{}, y", count));
    report.close(bench.read(d_x), dropped, in_memory(dropped, bound, dtype), fmt::format("{}, d_x", count));
  };
}

struct RopeCase {
  uint32_t rows, context, heads, kv_heads, head_width;
  uint32_t width() const { return (heads + 2 * kv_heads) * head_width; }
};
Verify prepare_rope(KernelBench& bench, const RopeCase& p, DType dtype) {
  constexpr float kTheta = 10000;
  const auto values = stored(random_values(uint64_t{p.rows} * p.width(), 1), dtype);
  const Rotary rotary{.cos_sin_table = bench.input({p.context + 3, p.head_width}, make_cos_sin_table(p.context + 3, p.head_width, kTheta)),
                      .context = p.context,
                      .rotary_heads = p.heads + p.kv_heads};
  const Tensor rotated = bench.input({p.rows, p.width()}, values, dtype), back = bench.input({p.rows, p.width()}, values, dtype);
  bench.record([&](Ops& ops) {
    rope(ops, rotated, rotary, RopeDirection::forward);
    rope(ops, back, rotary, RopeDirection::backward);
  });
  return [=, &bench](CaseReport& report) {
    const reference::Rope reference{p.rows, p.context, p.heads + p.kv_heads, p.head_width, p.width(), kTheta};
    for (const auto& [result, direction, name] : {std::tuple(rotated, 1.0, "forward"), std::tuple(back, -1.0, "backward")}) {
      Doubles bound(values.size());
      const Doubles expected = reference.rotate(widen(values), direction, &bound);
      report.close(bench.read(result), expected, in_memory(expected, bound, dtype), fmt::format("{}x{}, {}", p.rows, p.width(), name));
    }
  };
}

Verify prepare_bias(KernelBench& bench, uint32_t rows, uint32_t cols, DType dtype) {
  const auto values = stored(random_values(uint64_t{rows} * cols, 5), dtype), old = random_values(cols, 6);
  const Tensor d_y = bench.input({rows, cols}, values, dtype), d_bias = bench.output({cols}), sum = bench.input({cols}, old);
  const Tensor scratch = bench.output({static_cast<uint32_t>(bias_scratch_floats(rows, cols))});
  bench.record([&](Ops& ops) {
    bias_backward(ops, d_bias, scratch, d_y, Into::overwrite);
    bias_backward(ops, sum, scratch, d_y, Into::accumulate);
  });
  return [=, &bench](CaseReport& report) {
    const RowBlocks blocks(rows);
    const reference::ColumnSum expected(widen(values), cols);
    const Doubles bound = expected.bound(blocks.rows_per_block + blocks.count);
    const std::string shape = fmt::format("{}x{}", rows, cols);
    report.close(bench.read(d_bias), expected.value, bound, shape);
    Doubles value = expected.value, sum_bound(cols);
    for (uint32_t i = 0; i < cols; ++i) {
      value[i] += static_cast<double>(old[i]);
      sum_bound[i] = 1.01 * (bound[i] + kEpsilon * std::abs(value[i]));
    }
    report.close(bench.read(sum), value, sum_bound, shape + ", accumulated");
  };
}

Verify prepare_column_sum(KernelBench& bench, uint32_t rows, uint32_t cols, DType dtype) {
  const auto values = stored(random_values(uint64_t{rows} * cols, 8), dtype);
  const Tensor in = bench.input({rows, cols}, values, dtype), sum = bench.output({1, cols});
  bench.record([&](Ops& ops) { column_sum(ops, sum, in, rows, Into::overwrite); });
  return [=, &bench](CaseReport& report) {
    const reference::ColumnSum expected(widen(values), cols);
    report.close(bench.read(sum), expected.value, expected.bound(rows), fmt::format("{}x{}", rows, cols));
  };
}

}  // namespace

std::vector<KernelCheck> element_checks(const DeviceCaps& device) {
  std::vector<KernelCheck> checks;
  for (const Precision precision : precisions(device)) {
    const DType dtype = storage_type(precision);
    const uint32_t grain = precision == Precision::f32 ? 1 : 2;  // rows of 16 bits are whole words
    const auto add_check = [&](const char* kernel, std::vector<PrepareCase> cases) {
      checks.push_back({.kernel = kernel,
                        .variant = fmt::format("{} memory", to_string(precision)),
                        .precision = precision,
                        .cases = std::move(cases)});
    };
    std::vector<PrepareCase> gelu, swiglu, dropout, rotary, bias, columns;
    for (const uint32_t count : {1031U, 1U, 97U, 255U, 257U, 4099U}) {
      const uint32_t even = count / grain * grain, eighths = precision == Precision::f32 ? count : count / 8 * 8;
      if (even > 0) gelu.push_back([=](KernelBench& bench) { return prepare_gelu(bench, even, dtype); });
      const float rate = count % 2 == 0 ? 0 : count == 1 ? 0.99F : 0.1F;
      if (eighths > 0) dropout.push_back([=](KernelBench& bench) { return prepare_dropout(bench, eighths, dtype, rate); });
    }
    for (const auto& [rows, cols] : std::vector<std::array<uint32_t, 2>>{{97, 62}, {1, 1}, {257, 65}, {17, 8}, {1031, 3}, {5, 1031}}) {
      if (cols % grain != 0) continue;
      swiglu.push_back([=](KernelBench& bench) { return prepare_swiglu(bench, rows, cols, dtype); });
      bias.push_back([=](KernelBench& bench) { return prepare_bias(bench, rows, cols, dtype); });
      columns.push_back([=](KernelBench& bench) { return prepare_column_sum(bench, rows, cols, dtype); });
    }
    for (const RopeCase& p : {RopeCase{34, 17, 4, 2, 16}, RopeCase{1, 1, 1, 1, 2}, RopeCase{31, 31, 2, 2, 34}, RopeCase{97, 97, 4, 1, 32}})
      rotary.push_back([=](KernelBench& bench) { return prepare_rope(bench, p, dtype); });
    if (precision == Precision::f32) {
      std::vector<PrepareCase> sums;
      for (const uint32_t count : {1031U, 1U, 4099U}) sums.push_back([=](KernelBench& bench) { return prepare_add(bench, count); });
      add_check("add", std::move(sums));
    }
    add_check("gelu", std::move(gelu));
    add_check("swiglu", std::move(swiglu));
    add_check("dropout", std::move(dropout));
    add_check("rope", std::move(rotary));
    add_check("bias gradient", std::move(bias));
    add_check("column sum", std::move(columns));
  }
  return checks;
}

}  // namespace lapilli::check
