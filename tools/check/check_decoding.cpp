// The kernels of single tokens: a matrix times a vector with all that is fused into it, keys and values into the cache, attention over it.

#include <array>

#include "model/attention/key_value_cache.h"
#include "model/matmul/matvec.h"
#include "model/ops/rope.h"
#include "tools/check/attention_case.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_activation.h"
#include "tools/check/reference/reference_matmul.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::check {

namespace {

constexpr double kTheta = 10000;
constexpr float kAlpha = 0.75F;

struct MatvecCase {
  uint32_t rows, dim;
  DType weights;
  Nonlinearity nonlinearity;
  bool adds;  // a bias, and a residual where there can be one
  uint32_t head_width = 0, position = 0;

  bool rotates() const { return nonlinearity == Nonlinearity::rotary; }
  bool gates() const { return nonlinearity == Nonlinearity::swiglu; }
  // All heads but the last, the values, are rotated.
  uint32_t rotary_heads() const { return rows / head_width - 1; }
  std::string name() const { return fmt::format("{}x{}", rows, dim); }
};

struct Product {
  Doubles value, bound;
};

// `roundings`: of a sum, then alpha, bias and addend.
Product product(const MatvecCase& p, const Doubles& w, const Doubles& x, const Doubles& bias, const Doubles& addend, double roundings) {
  const reference::MatmulResult sums = reference::matmul({w, p.dim, 1}, {x, 1, 1}, p.rows, 1, p.dim);
  Product y{Doubles(p.rows), Doubles(p.rows)};
  for (uint32_t i = 0; i < p.rows; ++i) {
    const double b = bias.empty() ? 0 : bias[i], a = addend.empty() ? 0 : addend[i];
    y.value[i] = static_cast<double>(kAlpha) * sums.value[i] + b + a;
    y.bound[i] = (roundings + 3) * kEpsilon * (static_cast<double>(kAlpha) * sums.magnitude[i] + std::abs(b) + std::abs(a));
  }
  return y;
}

// No slope of either function is above 1.13 for what the other factor is.
Product apply(const MatvecCase& p, Product y) {
  if (p.rotates()) {
    // The reference computes all positions up to this one; the others are zeros.
    const reference::Rope rope{p.position + 1, p.position + 1, p.rotary_heads(), p.head_width, p.rows, kTheta};
    const uint64_t at = uint64_t{p.position} * p.rows;
    Doubles values(at), bound(at);
    values.insert(values.end(), y.value.begin(), y.value.end());
    bound.insert(bound.end(), y.bound.begin(), y.bound.end());
    values = rope.rotate(values, 1, &bound);
    return {Doubles(values.begin() + static_cast<ptrdiff_t>(at), values.end()), Doubles(bound.begin() + static_cast<ptrdiff_t>(at), bound.end())};
  }
  Product out = y;
  if (p.gates()) {
    out.value.resize(p.rows / 2);
    out.bound.resize(p.rows / 2);
    for (uint32_t i = 0; i < p.rows / 2; ++i) {
      const double gate = y.value[2 * i], up = y.value[2 * i + 1], gate_bound = y.bound[2 * i], up_bound = y.bound[2 * i + 1];
      const reference::Bounded result = reference::Swiglu::forward(gate, up);
      out.value[i] = result.value;
      out.bound[i] = result.bound + 1.13 * gate_bound * (std::abs(up) + up_bound) + std::abs(gate) * up_bound;
    }
  } else if (p.nonlinearity == Nonlinearity::gelu) {
    for (uint32_t i = 0; i < p.rows; ++i) {
      const reference::Bounded result = reference::gelu(y.value[i]);
      out.value[i] = result.value;
      out.bound[i] = result.bound + 1.13 * y.bound[i];
    }
  }
  return out;
}

Verify prepare_matvec(KernelBench& bench, const MatvecCase& p, uint32_t row_subgroups) {
  const auto w_values = stored(random_values(uint64_t{p.rows} * p.dim, 1), p.weights);
  const auto x_values = random_values(p.dim, 2), bias_values = random_values(p.rows, 3), addend_values = random_values(p.rows, 4);
  const bool has_addend = p.adds && !p.gates();
  const Tensor w = bench.input({p.rows, p.dim}, w_values, p.weights), x = bench.input({p.dim}, x_values);
  const Tensor bias = bench.input({p.rows}, bias_values), addend = bench.input({p.rows}, addend_values);
  const Tensor y = bench.output({p.gates() ? p.rows / 2 : p.rows}), again = bench.output(y.shape());
  MatvecOptions options{.bias = p.adds ? ConstTensor(bias) : ConstTensor(),
                        .addend = has_addend ? ConstTensor(addend) : ConstTensor(),
                        .alpha = kAlpha,
                        .nonlinearity = p.nonlinearity};
  if (p.rotates()) {
    options.rotary = {.cos_sin_table = bench.input({p.position + 1, p.head_width}, make_cos_sin_table(p.position + 1, p.head_width, kTheta)),
                      .context = p.position + 1,
                      .rotary_heads = p.rotary_heads()};
    options.position = bench.input({1}, std::vector<uint32_t>{p.position});
  }
  double roundings = 0;
  bench.record([&](Ops& ops) {
    ops.row_subgroups = row_subgroups;
    roundings = matvec_roundings(ops, p.dim);
    matvec(ops, y, w, x, options);
    matvec(ops, again, w, x, options);
  });
  return [=, &bench](CaseReport& report) {
    const Product expected = apply(p, product(p, widen(w_values), widen(x_values), p.adds ? widen(bias_values) : Doubles{},
                                              has_addend ? widen(addend_values) : Doubles{}, roundings));
    report.close(bench.read(y), expected.value, expected.bound, p.name());
    report.equal(bench.read(again), bench.read(y), p.name() + ", again");
  };
}

struct CacheCase {
  uint32_t context, position;  // T, and that of the token
  uint32_t heads, kv_heads, head_width;
  AttentionShape shape() const { return {.batch = 1, .context = context, .heads = heads, .kv_heads = kv_heads, .head_width = head_width}; }
};

// All positions go into the cache but the last, then that one; beyond it the cache stays poisoned.
Verify prepare_cached_attention(KernelBench& bench, const CacheCase& p, uint32_t row_subgroups) {
  const AttentionSize size{.B = 1, .T = p.position + 1, .H = p.heads, .G = p.kv_heads, .E = p.head_width};
  const auto values = random_qkv(size, 3.0F);
  const uint32_t width = (p.heads + 2 * p.kv_heads) * p.head_width, cache_width = 2 * p.kv_heads * p.head_width;
  const Tensor qkv = bench.input({size.T, width}, values), cache = bench.output({p.context, cache_width});
  const Tensor out = bench.output({p.heads * p.head_width}), again = bench.output(out.shape());
  const Tensor zero = bench.input({1}, std::vector<uint32_t>{0}), position = bench.input({1}, std::vector<uint32_t>{p.position});
  bench.record([&](Ops& ops) {
    ops.row_subgroups = row_subgroups;
    if (p.position > 0) append_to_cache(ops, cache, qkv.row_range(0, p.position), zero, p.shape());
    const Tensor newest = qkv.row_range(p.position, 1);
    append_to_cache(ops, cache, newest, position, p.shape());
    cached_attention(ops, out, newest, cache, position, p.shape());
    cached_attention(ops, again, newest, cache, position, p.shape());
  });
  return [=, &bench](CaseReport& report) {
    const std::string name = fmt::format("position {} of {}, {} heads of {} on {}", p.position, p.context, p.heads, p.head_width, p.kv_heads);
    const reference::AttentionResult expected = reference::attention_forward(size, widen(values), {});
    const uint64_t at = size.out_at(0, p.position, 0), count = out.elements();
    const auto last = [&](const Doubles& all) {
      return Doubles(all.begin() + static_cast<ptrdiff_t>(at), all.begin() + static_cast<ptrdiff_t>(at + count));
    };
    report.close(bench.read(out), last(expected.out), last(expected.out_bound), name);
    report.equal(bench.read(again), bench.read(out), name + ", again");
    std::vector<float> copied = bench.read(cache), wanted;
    copied.resize(uint64_t{size.T} * cache_width);
    for (uint64_t row = 0; row < size.T; ++row)
      wanted.insert(wanted.end(), values.begin() + static_cast<ptrdiff_t>((row + 1) * width - cache_width),
                    values.begin() + static_cast<ptrdiff_t>((row + 1) * width));
    report.equal(copied, wanted, name + ", cache");
  };
}

std::vector<MatvecCase> matvec_cases(Nonlinearity nonlinearity, DType weights) {
  std::vector<MatvecCase> cases;
  const auto add = [&](uint32_t rows, uint32_t dim, bool adds, uint32_t head_width = 0, uint32_t position = 0) {
    cases.push_back({rows, dim, weights, nonlinearity, adds, head_width, position});
  };
  if (nonlinearity == Nonlinearity::rotary) {
    add(5 * 6, 98, true, 6, 11);
    add(3 * 64, 33, false, 64, 300);
    add(3 * 2, 64, true, 2, 0);
    return cases;
  }
  for (const auto& [rows, dim] : std::vector<std::array<uint32_t, 2>>{{66, 98}, {2, 1}, {34, 1031}, {130, 64}, {1026, 7}})
    for (const bool adds : {true, false}) add(rows, dim, adds);
  if (nonlinearity == Nonlinearity::none)
    for (const uint32_t rows : {1U, 33U, 65U}) add(rows, 30, true);
  return cases;
}

}  // namespace

std::vector<KernelCheck> decoding_checks(const DeviceCaps&, uint32_t row_subgroups) {
  std::vector<KernelCheck> checks;
  constexpr std::array kForms{std::pair(Nonlinearity::none, "matvec"), std::pair(Nonlinearity::gelu, "matvec with gelu"),
                              std::pair(Nonlinearity::swiglu, "matvec with swiglu"), std::pair(Nonlinearity::rotary, "matvec with rope")};
  for (const auto& [nonlinearity, name] : kForms)
    for (const Precision weights : {Precision::f32, Precision::f16, Precision::bf16}) {
      KernelCheck check{.kernel = name, .variant = fmt::format("weights in {}", to_string(weights))};
      for (const MatvecCase& p : matvec_cases(nonlinearity, storage_type(weights)))
        check.cases.push_back([=](KernelBench& bench) { return prepare_matvec(bench, p, row_subgroups); });
      checks.push_back(std::move(check));
    }
  KernelCheck cached{.kernel = "attention over the cache", .variant = "f32"};
  for (const CacheCase& p : std::vector<CacheCase>{
           {19, 12, 4, 2, 6}, {1, 0, 1, 1, 1}, {300, 255, 3, 1, 64}, {300, 256, 2, 2, 33}, {600, 599, 6, 2, 16}, {70, 69, 2, 1, 256}})
    cached.cases.push_back([=](KernelBench& bench) { return prepare_cached_attention(bench, p, row_subgroups); });
  checks.push_back(std::move(cached));
  return checks;
}

}  // namespace lapilli::check
