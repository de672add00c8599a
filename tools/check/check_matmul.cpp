// Matmuls: every tile in every layout, exact sums, bias, addend, accumulation, rows that count, split-K; and what is fused.

#include <algorithm>
#include <array>
#include <cmath>

#include "model/matmul/matmul_tile.h"
#include "model/ops/rope.h"
#include "tools/check/check_list.h"
#include "tools/check/matmul_case.h"
#include "tools/check/reference/reference_activation.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::check {

namespace {

// A kernel, and whether its memory has the operands' type.
struct MatmulVariant {
  MatmulKernel kernel;
  DType memory = DType::f32;
  // coopmat2 supports only operands of their type.
  DType operands() const { return kernel.kernel_class == KernelClass::coopmat2 ? storage_type(kernel.precision) : memory; }
  std::string to_string() const {
    std::string text = fmt::format("{} {}", lapilli::to_string(kernel.precision), kernel.to_string());
    if (kernel.kernel_class == KernelClass::cpu && !kernel.load64) text += ", 32-bit loads";
    return kernel.precision == Precision::f32 ? text : text + (memory == DType::f32 ? ", f32 memory" : ", 16-bit memory");
  }
};

std::vector<MatmulVariant> variants(const DeviceCaps& device) {
  std::vector<MatmulVariant> all;
  for (const MatmulKernel& kernel : matmul_variants(device)) {
    all.push_back({kernel});
    if (kernel.precision != Precision::f32) all.push_back({kernel, storage_type(kernel.precision)});
  }
  return all;
}

KernelCheck check_of(const MatmulVariant& variant, Layout layout, const std::string& what, const std::string& fused = "") {
  const char* name = kLayoutNames[static_cast<int>(layout)];
  KernelCheck check{.kernel = fmt::format("matmul {}{}", name, what), .variant = variant.to_string(), .precision = variant.kernel.precision};
  if (variant.kernel.tile == 0) return check;  // there is only one
  check.tuning_key = fmt::format("matmul {} {}{}", name, to_string(variant.kernel.precision), fused);
  check.candidate = variant.kernel.to_string();
  // Evaluations and samples start with small tiles, which compile fastest.
  check.always_used = variant.kernel.kernel_class == KernelClass::cpu && variant.kernel.tile == quick_matmul_kernel({KernelClass::cpu}).tile;
  return check;
}

// Exact inputs; then bias, addend and accumulation; then with fewer rows (tn: less depth) that count.
Verify prepare_sums(KernelBench& bench, const MatmulVariant& variant, const MatmulCase& p) {
  const MatmulKernel& kernel = variant.kernel;
  const uint64_t results = uint64_t{p.m} * p.n;
  const bool depth = p.layout == Layout::tn;
  const uint32_t num_valid = (depth ? p.k : p.m) / 2;
  const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
  const auto real_a = random_values(a.size(), 3), real_b = random_values(b.size(), 4), bias = random_values(p.n, 5);
  const auto residual = stored(random_values(results, 6), variant.memory);
  const Tensor ta = bench.input(a_shape(p), a, variant.operands()), tb = bench.input(b_shape(p), b, variant.operands());
  const Tensor tra = bench.input(a_shape(p), real_a, variant.operands()), trb = bench.input(b_shape(p), real_b, variant.operands());
  const Tensor tbias = bench.input({p.n}, bias), tresidual = bench.input({p.m, p.n}, residual, variant.memory);
  const Tensor quarter = bench.input({1}, std::vector<float>{0.25F}), tnum_valid = bench.input({1}, std::vector<uint32_t>{num_valid});
  const Tensor exact = bench.output({p.m, p.n}, variant.memory), sum = bench.output({p.m, p.n}, variant.memory);
  const Tensor part = bench.input({p.m, p.n}, std::vector<float>(results, 77.0F), variant.memory);
  bench.record([&](Ops& ops) {
    record(ops, p.layout, exact, ta, tb, Into::overwrite, {.force = kernel});
    record(ops, p.layout, sum, tra, trb, Into::overwrite, {.bias = tbias, .addend = tresidual, .alpha = 2.0F, .scale = quarter, .force = kernel});
    record(ops, p.layout, sum, tra, trb, Into::accumulate, {.force = kernel});
    record(ops, p.layout, part, ta, tb, Into::overwrite, {.num_valid = tnum_valid, .force = kernel});
  });
  return [=, &bench](CaseReport& report) {
    const std::string shape = fmt::format("{}x{}x{}", p.m, p.n, p.k);
    Doubles da = widen(a);
    report.equal(bench.read(exact), stored(narrow(expected(p, da, widen(b)).value), variant.memory), shape + ", exact sums");
    const auto [value, bound] = bias_addend_and_accumulate(p, real_a, real_b, bias, residual, kernel.precision, variant.memory);
    report.close(bench.read(sum), value, bound, shape + ", bias, addend, accumulation");
    if (depth) std::fill(da.begin() + static_cast<std::ptrdiff_t>(uint64_t{num_valid} * p.m), da.end(), 0.0);
    auto valid = stored(narrow(expected(p, da, widen(b)).value), variant.memory);
    if (!depth) std::fill(valid.begin() + static_cast<std::ptrdiff_t>(uint64_t{num_valid} * p.n), valid.end(), 77.0F);
    report.equal(bench.read(part), valid, fmt::format("{}, {} that count", shape, num_valid));
  };
}

// As deep as is worth splitting; the last part is less deep than the others.
Verify prepare_split(KernelBench& bench, const MatmulVariant& variant, const MatmulCase& p) {
  const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2), bias = small_integers(p.n, 3);
  const Tensor ta = bench.input(a_shape(p), a, variant.operands()), tb = bench.input(b_shape(p), b, variant.operands());
  const Tensor tbias = bench.input({p.n}, bias), c = bench.output({p.m, p.n}), workspace = bench.output({1U << 17U});
  bench.record([&](Ops& ops) {
    ops.workspace = workspace;
    record(ops, p.layout, c, ta, tb, Into::overwrite, {.bias = tbias, .force = variant.kernel});
    record(ops, p.layout, c, ta, tb, Into::accumulate, {.force = variant.kernel});
  });
  return [=, &bench](CaseReport& report) {
    Doubles value = expected(p, widen(a), widen(b)).value;
    for (size_t i = 0; i < value.size(); ++i) value[i] = 2 * value[i] + static_cast<double>(bias[i % p.n]);
    report.equal(bench.read(c), narrow(value), fmt::format("{}x{}x{}", p.m, p.n, p.k));
  };
}

// ---- fused into the store ----

using reference::Bounded;

constexpr float kAlpha = 0.125F;

// Sums are exact, small integers times a power of two: what goes into the function is known exactly.
struct Product {
  std::vector<float> a, b, bias, y;
  Product(const MatmulCase& p, uint32_t seed)
      : a(small_integers(uint64_t{p.m} * p.k, seed)), b(small_integers(uint64_t{p.k} * p.n, seed + 1)), bias(small_integers(p.n, seed + 2)) {
    const auto product = expected(p, widen(a), widen(b)).value;
    for (size_t i = 0; i < product.size(); ++i) y.push_back(static_cast<float>(product[i]) * kAlpha + bias[i % p.n]);
  }
};

void close_when_stored(CaseReport& report, const std::vector<float>& actual, const std::vector<Bounded>& expected, DType dtype,
                       const std::string& what) {
  Doubles value, bound;
  for (const Bounded& element : expected) {
    value.push_back(element.value);
    bound.push_back(element.bound + storage_rounding(dtype) * (std::abs(element.value) + element.bound) + storage_floor(dtype));
  }
  report.close(actual, value, bound, what);
}

double exact(float value) { return static_cast<double>(value); }

Verify prepare_fused(KernelBench& bench, const MatmulVariant& variant, const MatmulCase& p, Nonlinearity f) {
  const DType dtype = variant.memory;
  const Product product(p, 1);
  const bool gated = f == Nonlinearity::swiglu, gated_backward = f == Nonlinearity::swiglu_backward;
  const bool backward = f == Nonlinearity::gelu_backward || gated_backward;
  const uint32_t cols = gated ? p.n / 2 : gated_backward ? 2 * p.n : p.n;
  const auto before = stored(random_values(uint64_t{p.m} * cols, 10, 6.0F), dtype);
  constexpr uint32_t kContext = 11, kHeadWidth = 6;
  const uint32_t heads = p.n * 7 / 10 / kHeadWidth;
  const Tensor a = bench.input(a_shape(p), product.a, variant.operands()), b = bench.input(b_shape(p), product.b, variant.operands());
  const Tensor bias = bench.input({p.n}, product.bias), c = bench.output({p.m, cols}, dtype);
  MatmulOptions options{.bias = bias, .alpha = kAlpha, .nonlinearity = f, .force = variant.kernel};
  if (backward) options.before = bench.input({p.m, cols}, before, dtype);
  if (f == Nonlinearity::gelu || gated) options.kept = bench.output({p.m, p.n}, dtype);
  if (f == Nonlinearity::rotary)
    options.rotary = {.cos_sin_table = bench.input({kContext, kHeadWidth}, make_cos_sin_table(kContext, kHeadWidth, 100)),
                      .context = kContext,
                      .rotary_heads = heads};
  bench.record([&](Ops& ops) { record(ops, p.layout, c, a, b, Into::overwrite, options); });
  return [=, &bench, kept = options.kept](CaseReport& report) {
    const std::string shape = fmt::format("{}x{}x{}", p.m, p.n, p.k);
    const auto actual = bench.read(c);
    const auto y = stored(product.y, dtype);
    if (kept) report.equal(bench.read(kept), y, shape + ", kept");
    if (f == Nonlinearity::rotary) {
      const Doubles sums = widen(product.y);
      Doubles bound;
      for (const double value : sums)
        bound.push_back(variant.kernel.kernel_class == KernelClass::coopmat2 ? storage_rounding(dtype) * std::abs(value) : 0);
      const Doubles rotated = reference::Rope{p.m, kContext, heads, kHeadWidth, p.n, 100}.rotate(sums, 1, &bound);
      for (size_t i = 0; i < bound.size(); ++i) bound[i] += storage_rounding(dtype) * (std::abs(rotated[i]) + bound[i]) + storage_floor(dtype);
      return report.close(actual, rotated, bound, shape);
    }
    std::vector<Bounded> result;
    for (size_t i = 0; i < actual.size(); ++i) {
      const auto sum = [&](size_t at) { return exact(product.y[at]); };
      switch (f) {
        case Nonlinearity::gelu: result.push_back(reference::gelu(exact(y[i]))); break;
        case Nonlinearity::gelu_backward: result.push_back(reference::gelu_backward(sum(i), exact(before[i]))); break;
        case Nonlinearity::swiglu: result.push_back(reference::Swiglu::forward(exact(y[2 * i]), exact(y[2 * i + 1]))); break;
        case Nonlinearity::swiglu_backward:
          result.push_back(i % 2 == 0 ? reference::Swiglu::d_gate(sum(i / 2), exact(before[i]), exact(before[i + 1]))
                                      : reference::Swiglu::d_up(sum(i / 2), exact(before[i - 1])));
          break;
        default: break;
      }
    }
    close_when_stored(report, actual, result, dtype, shape);
  };
}

// The rows and columns of a kernel's tile, for shapes around it.
std::pair<uint32_t, uint32_t> tile_of(const DeviceCaps& device, const MatmulKernel& kernel) {
  if (kernel.tile == 0) return {24, 2 * device.subgroup_size};
  if (kernel.kernel_class == KernelClass::cpu) return {kernel.tile, kernel.tile_cols * device.subgroup_size};
  return {kernel.tile, kernel.tile_cols != 0 ? kernel.tile_cols : kernel.tile};
}

}  // namespace

std::vector<KernelCheck> matmul_checks(const DeviceCaps& device) {
  std::vector<KernelCheck> checks;
  using Sizes = std::vector<std::array<uint32_t, 3>>;
  const auto add = [&](const MatmulVariant& variant, KernelCheck check, Layout layout, const Sizes& sizes, auto prepare_case) {
    for (const auto& [m, n, k] : sizes)
      check.cases.push_back([=, p = MatmulCase{layout, m, n, k}](KernelBench& bench) { return prepare_case(bench, variant, p); });
    checks.push_back(std::move(check));
  };
  for (const MatmulVariant& variant : variants(device))
    for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn}) {
      if (variant.kernel.transposes && layout == Layout::nt) continue;  // nothing to transpose
      const auto [rows, cols] = tile_of(device, variant.kernel);
      const Sizes odd{{97, 61, 101}, {rows + 1, cols + 1, 33}, {1, 1, 1}, {2, 257, 9}, {rows - 1, cols - 1, 65}};
      const uint32_t above = layout == Layout::tn ? 2 : 1;  // rows of a stay even
      Sizes even{{rows + above, cols + 2, 34}, {2, 2, 2}, {rows - above, cols - 2, 66}, {98, 62, 102}, {rows, cols, 64}};
      const KernelCheck check = check_of(variant, layout, "");
      if (variant.kernel.kernel_class == KernelClass::cpu) {
        // A driver compiles each mixture of odd and even rows for seconds: odd rows run in the smallest tile, which stands for all.
        even.push_back({17, 34, 4130});  // adds up pieces of the depth
        if (layout == Layout::tn) even.back()[0] = 18;
        add(variant, check, layout, variant.kernel.load64 ? even : odd, prepare_sums);
        if (variant.kernel.load64 && std::pair(variant.kernel.tile, variant.kernel.tile_cols) == matmul_tiles(device, variant.kernel).back()) {
          KernelCheck of_odd_rows = check;
          of_odd_rows.variant += ", odd rows";
          of_odd_rows.in_quick = false;
          add(variant, of_odd_rows, layout, odd, prepare_sums);
        }
        continue;
      }
      Sizes all = even;
      all.insert(all.end(), odd.begin(), odd.end());
      add(variant, check, layout, all, prepare_sums);
      if (variant.memory != DType::f32) continue;
      MatmulVariant split = variant;
      split.kernel.splits = 2;
      KernelCheck of_split = check_of(split, layout, "");
      of_split.candidate = variant.kernel.to_string() + " in";  // however many parts
      add(split, of_split, layout, {{33, 36, 1025}, {rows + 1, 31, 1537}}, prepare_split);
    }
  return checks;
}

std::vector<KernelCheck> nonlinear_matmul_checks(const DeviceCaps& device) {
  struct Fused {
    Nonlinearity f;
    Layout layout;  // in which models use it
    const char *what, *key;
  };
  std::vector<KernelCheck> checks;
  for (const Fused& fused : std::vector<Fused>{{Nonlinearity::gelu, Layout::nt, " + gelu", " gelu"},
                                               {Nonlinearity::gelu_backward, Layout::nn, " + gelu backward", " gelu backward"},
                                               {Nonlinearity::swiglu, Layout::nt, " + swiglu", " swiglu"},
                                               {Nonlinearity::swiglu_backward, Layout::nn, " + swiglu backward", " swiglu backward"},
                                               {Nonlinearity::rotary, Layout::nt, " + rotary", " rotary"}})
    for (const MatmulVariant& variant : variants(device)) {
      if (variant.kernel.transposes && fused.layout == Layout::nt) continue;
      KernelCheck check = check_of(variant, fused.layout, fused.what, fused.key);
      const auto [rows, cols] = tile_of(device, variant.kernel);
      // Columns in pairs of pairs: gate and up of 16 bits are whole words in each row.
      for (const auto& [m, n, k] :
           std::vector<std::array<uint32_t, 3>>{{rows + 1, cols + 4, 18}, {rows - 1, std::max(cols - 4, 12U), 40}, {67, 72, 19}})
        check.cases.push_back([=, f = fused.f, p = MatmulCase{fused.layout, m, n, k}](KernelBench& bench) {
          return prepare_fused(bench, variant, p, f);
        });
      checks.push_back(std::move(check));
    }
  return checks;
}

}  // namespace lapilli::check
