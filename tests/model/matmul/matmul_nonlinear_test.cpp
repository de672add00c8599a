// Matmuls whose epilogue is an activation, or the gradient through one. Their sums are exact - small integers, and a
// power of two - so that the input of the nonlinearity is known exactly, and the result is compared with that
// function's reference.

#include <cmath>

#include "model/ops/rope.h"
#include "tests/model/matmul/matmul_support.h"
#include "tests/model/ops/activation_support.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::test {
namespace {

using reference::Bounded;

struct Param {
  MatmulKernel kernel;
  bool in_16_bits;  // memory has the operands' type, else f32; but coopmat2 only supports operands of that type
  DType dtype() const { return in_16_bits ? storage_type(kernel.precision) : DType::f32; }
  DType operand_type() const { return kernel.kernel_class == KernelClass::coopmat2 ? storage_type(kernel.precision) : dtype(); }
};

constexpr float kAlpha = 0.125F;

// a, b, and the exact y = kAlpha op(a) op(b) + bias (0 without one).
struct Product {
  Product(const Case& p, uint32_t seed, bool with_bias)
      : a(small_integers(uint64_t{p.m} * p.k, seed)), b(small_integers(uint64_t{p.k} * p.n, seed + 1)), bias(small_integers(p.n, seed + 2)) {
    const auto product = expected(p, widen(a), widen(b)).value;
    for (size_t i = 0; i < product.size(); ++i) y.push_back(static_cast<float>(product[i]) * kAlpha + (with_bias ? bias[i % p.n] : 0.0F));
  }
  std::vector<float> a, b, bias, y;
};

// Within the bound of f32 arithmetic, rounded once more where it is stored in 16 bits.
void expect_bounded_when_stored(const std::vector<float>& actual, std::vector<Bounded> expected, DType dtype, const char* what) {
  for (Bounded& element : expected) element.bound += storage_rounding(dtype) * (std::abs(element.value) + element.bound) + storage_floor(dtype);
  expect_bounded(actual, expected, what);
}

class NonlinearMatmul : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    if (const auto reason = why_not(kernel)) GTEST_SKIP() << *reason;
  }
  // Whole tiles, edges, odd widths, rows that do and do not begin at four elements; on CPU drivers also pieces of the depth. A form
  // with cooperative matrices takes a software driver seconds to compile: of the larger tiles, which differ in nothing that an
  // epilogue sees, one.
  void for_all_cases(const std::function<void(const Case&)>& check) {
    std::vector<Case> all{{Layout::nn, 136, 136, 40}};
    const bool few = kernel.precision != Precision::f32 && (kernel.emulated || kernel.tile > 32);
    if (!few) all.insert(all.end(), {{Layout::nn, 67, 69, 19}, {Layout::nt, 136, 136, 40}});
    const std::vector<Case> more{{Layout::nt, 1, 1, 1}, {Layout::nn, 7, 130, 5}, {Layout::tn, 66, 70, 18}, {Layout::nn, 129, 34, 9}};
    const std::vector<Case> deep{{Layout::nt, 9, 34, 2049}, {Layout::nn, 34, 33, 4130}};
    const bool f32 = kernel.precision == Precision::f32;
    if (f32) all.insert(all.end(), more.begin(), more.end());
    if (kernel.kernel_class == KernelClass::cpu) all.insert(all.end(), deep.begin(), deep.end());
    for (const Case& p : all) {
      SCOPED_TRACE(fmt::format("{} {}x{}x{}", static_cast<int>(p.layout), p.m, p.n, p.k));
      check(p);
      if (HasFailure()) return;
    }
  }
  // Inputs for the gradients: in f32 memory also values that overflow and underflow within the functions.
  std::vector<float> inputs(uint64_t count, uint32_t seed) const {
    return in_16_bits ? stored(random_values(count, seed, 6.0F), dtype) : awkward_values(static_cast<uint32_t>(count), seed);
  }
  // Whether the kernel's epilogue processes pairs of columns.
  bool takes_pairs(const Case& p) const {
    return kernel.kernel_class == KernelClass::cpu ? kernel.load64 && device().caps().fast_64bit_loads && p.n % 2 == 0
                                                   : kernel.kernel_class != KernelClass::coopmat2;
  }
  uint64_t depth_pieces(const Case& p) const { return kernel.kernel_class == KernelClass::cpu ? ceil_div(p.k, 2048) : 1; }

  const MatmulKernel kernel = GetParam().kernel;
  const bool in_16_bits = GetParam().in_16_bits;
  const DType dtype = GetParam().dtype(), operand_type = GetParam().operand_type();
};

TEST_P(NonlinearMatmul, Gelu_KeepsYAndStoresGeluOfWhatItKept) {
  for_all_cases([&](const Case& p) {
    const Product product(p, 1, true);
    Bench bench;
    const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type),
                 bias = bench.input({p.n}, product.bias);
    const Tensor c = bench.output({p.m, p.n}, dtype), kept = bench.output({p.m, p.n}, dtype), alone = bench.output({p.m, p.n}, dtype);
    MatmulOptions options{.bias = bias, .alpha = kAlpha, .nonlinearity = Nonlinearity::gelu, .force = kernel};
    bench.run([&](Ops& ops) {
      record(ops, p.layout, alone, a, b, Into::overwrite, options);
      options.kept = kept;
      record(ops, p.layout, c, a, b, Into::overwrite, options);
    });
    const auto y = stored(product.y, dtype);
    EXPECT_EQ(bench.read(kept), y);
    std::vector<Bounded> gelu;
    for (const float value : y) gelu.push_back(reference::gelu(static_cast<double>(value)));
    expect_bounded_when_stored(bench.read(c), gelu, dtype, "c");
    expect_same_bits(bench.read(alone), bench.read(c), "c without what it keeps");
  });
}

// Rows of c are aligned for vector stores, rows of `kept` are not.
TEST_P(NonlinearMatmul, Gelu_KeptBeginsAnywhere_NeighboursUntouched) {
  if (kernel.precision != Precision::f32 && kernel.tile > 32 && !kernel.emulated) GTEST_SKIP() << "as the smallest tile";
  for (const uint32_t cols : {34U, 36U}) {
    const Case p{Layout::nt, 40, cols, 8};
    const Product product(p, 4, false);
    for (const uint32_t begin : {1U, 2U}) {
      Bench bench;
      const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type);
      const uint32_t count = p.m * p.n;
      const Tensor whole = bench.input({count + 4}, std::vector<float>(count + 4, 5.0F), dtype), c = bench.output({p.m, p.n}, dtype);
      bench.run([&](Ops& ops) {
        record(ops, p.layout, c, a, b, Into::overwrite,
               {.alpha = kAlpha, .nonlinearity = Nonlinearity::gelu, .kept = whole.range(begin, count).reshaped({p.m, p.n}), .force = kernel});
      });
      auto expected_whole = stored(product.y, dtype);
      expected_whole.insert(expected_whole.begin(), begin, 5.0F);
      expected_whole.resize(count + 4, 5.0F);
      EXPECT_EQ(bench.read(whole), expected_whole);
    }
  }
}

TEST_P(NonlinearMatmul, GeluBackward_MatchesReference) {
  for_all_cases([&](const Case& p) {
    const Product product(p, 7, false);
    const auto x = inputs(uint64_t{p.m} * p.n, 10);
    Bench bench;
    const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type);
    const Tensor before = bench.input({p.m, p.n}, x, dtype), d_x = bench.output({p.m, p.n}, dtype);
    bench.run([&](Ops& ops) {
      record(ops, p.layout, d_x, a, b, Into::overwrite,
             {.alpha = kAlpha, .nonlinearity = Nonlinearity::gelu_backward, .before = before, .force = kernel});
    });
    std::vector<Bounded> d;
    for (size_t i = 0; i < x.size(); ++i) d.push_back(reference::gelu_backward(static_cast<double>(product.y[i]), static_cast<double>(x[i])));
    expect_bounded_when_stored(bench.read(d_x), d, dtype, "d_x");
  });
}

// In the epilogue, or, if the kernel does not store pairs, in a separate pass.
TEST_P(NonlinearMatmul, Swiglu_KeepsGateAndUpAndStoresTheResult) {
  const auto check = [&](const Case& p) {
    if (p.n % 2 != 0 || (in_16_bits && p.n % 4 != 0)) return;  // no pairs; rows of 16 bits that begin within a word
    const Product product(p, 31, true);
    Bench bench;
    const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type),
                 bias = bench.input({p.n}, product.bias);
    const Tensor c = bench.output({p.m, p.n / 2}, dtype), kept = bench.output({p.m, p.n}, dtype);
    bench.run([&](Ops& ops) {
      record(ops, p.layout, c, a, b, Into::overwrite,
             {.bias = bias, .alpha = kAlpha, .nonlinearity = Nonlinearity::swiglu, .kept = kept, .force = kernel});
      EXPECT_EQ(ops.program.dispatch_count(), depth_pieces(p) + (takes_pairs(p) ? 0 : 1));
    });
    const auto y = stored(product.y, dtype);
    EXPECT_EQ(bench.read(kept), y);
    std::vector<Bounded> gated;
    for (size_t i = 0; i < y.size(); i += 2) gated.push_back(reference::Swiglu::forward(static_cast<double>(y[i]), static_cast<double>(y[i + 1])));
    expect_bounded_when_stored(bench.read(c), gated, dtype, "c");
  };
  for_all_cases(check);
  // Rows of c and of gate and up that start off a multiple of four elements, and one that ends off it.
  if (kernel.tile <= 32) check({Layout::nt, 66, 68, 18});
  if (kernel.tile <= 32) check({Layout::nn, 35, 38, 9});
}

TEST_P(NonlinearMatmul, SwigluBackward_GradientsOfGateAndUpMatchReference) {
  for_all_cases([&](const Case& p) {
    const Product product(p, 11, false);
    const auto gate_up = inputs(uint64_t{2} * p.m * p.n, 14);
    Bench bench;
    const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type);
    const Tensor before = bench.input({p.m, 2 * p.n}, gate_up, dtype), d_gate_up = bench.output({p.m, 2 * p.n}, dtype);
    bench.run([&](Ops& ops) {
      record(ops, p.layout, d_gate_up, a, b, Into::overwrite,
             {.alpha = kAlpha, .nonlinearity = Nonlinearity::swiglu_backward, .before = before, .force = kernel});
    });
    std::vector<Bounded> d;
    for (size_t i = 0; i < product.y.size(); ++i) {
      const auto d_y = static_cast<double>(product.y[i]), gate = static_cast<double>(gate_up[2 * i]), up = static_cast<double>(gate_up[2 * i + 1]);
      d.push_back(reference::Swiglu::d_gate(d_y, gate, up));
      d.push_back(reference::Swiglu::d_up(d_y, gate));
    }
    expect_bounded_when_stored(bench.read(d_gate_up), d, dtype, "d_gate_up");
  });
}

// Heads with rotation and columns without. In the epilogue, or, if the kernel does not store pairs, in a separate pass
// over the stored result.
TEST_P(NonlinearMatmul, Rotary_HeadsRotateByTheirRowsPosition) {
  for_all_cases([&](const Case& p) {
    const uint32_t head_width = p.n > 100 ? 34 : 6, rotary_heads = p.n * 7 / 10 / head_width, context = 11;
    if (rotary_heads == 0 || (in_16_bits && p.n % 2 != 0)) return;  // no head; rows of 16 bits that begin within a word
    const Product product(p, 21, true);
    Bench bench;
    const Tensor a = bench.input(a_shape(p), product.a, operand_type), b = bench.input(b_shape(p), product.b, operand_type),
                 bias = bench.input({p.n}, product.bias);
    const Tensor cos_sin_table = bench.input({context, head_width}, make_cos_sin_table(context, head_width, 100)),
                 c = bench.output({p.m, p.n}, dtype);
    bench.run([&](Ops& ops) {
      record(ops, p.layout, c, a, b, Into::overwrite,
             {.bias = bias,
              .alpha = kAlpha,
              .nonlinearity = Nonlinearity::rotary,
              .rotary = {.cos_sin_table = cos_sin_table, .context = context, .rotary_heads = rotary_heads},
              .force = kernel});
      EXPECT_EQ(ops.program.dispatch_count(), depth_pieces(p) + (takes_pairs(p) ? 0 : 1));
    });
    const Doubles y = widen(product.y);
    Doubles bound;
    for (const double value : y) bound.push_back(kernel.kernel_class == KernelClass::coopmat2 ? storage_rounding(dtype) * std::abs(value) : 0);
    const Doubles rotated = reference::Rope{p.m, context, rotary_heads, head_width, p.n, 100}.rotate(y, 1, &bound);
    for (size_t i = 0; i < bound.size(); ++i) bound[i] += storage_rounding(dtype) * (std::abs(rotated[i]) + bound[i]) + storage_floor(dtype);
    expect_close(bench.read(c), rotated, bound, "c");
  });
}

// With a depth of 1, y has any value: tails, overflows of its square and cube, and NaN.
TEST_P(NonlinearMatmul, Gelu_EdgesOfF32) {
  if (kernel.precision != Precision::f32) GTEST_SKIP() << "operands have no such values";
  constexpr uint32_t kCols = 6;
  auto values = awkward_values(97, 17);
  values.push_back(std::nanf(""));
  const auto rows = static_cast<uint32_t>(values.size());
  Bench bench;
  const Tensor a = bench.input({rows, 1}, values), ones = bench.input({1, kCols}, std::vector<float>(kCols, 1.0F)), y = bench.output({rows, kCols});
  const Tensor x = bench.input({rows, kCols}, [&] {
    std::vector<float> repeated;
    for (const float value : values) repeated.insert(repeated.end(), kCols, value);
    return repeated;
  }());
  const Tensor one = bench.input({rows, 1}, std::vector<float>(rows, 1.0F)), d_x = bench.output({rows, kCols});
  bench.run([&](Ops& ops) {
    matmul_nn(ops, y, a, ones, Into::overwrite, {.nonlinearity = Nonlinearity::gelu, .force = kernel});
    matmul_nn(ops, d_x, one, ones, Into::overwrite, {.nonlinearity = Nonlinearity::gelu_backward, .before = x, .force = kernel});
  });
  auto actual = bench.read(y), actual_d = bench.read(d_x);
  for (uint32_t col = 0; col < kCols; ++col)
    EXPECT_TRUE(std::isnan(actual[actual.size() - 1 - col]) && std::isnan(actual_d[actual_d.size() - 1 - col]));
  std::vector<Bounded> gelu, slope;
  for (uint32_t i = 0; i + 1 < rows; ++i) {
    gelu.insert(gelu.end(), kCols, reference::gelu(static_cast<double>(values[i])));
    slope.insert(slope.end(), kCols, reference::gelu_backward(1.0, static_cast<double>(values[i])));
  }
  actual.resize(gelu.size()), actual_d.resize(slope.size());
  expect_bounded(actual, gelu, "y");
  expect_bounded(actual_d, slope, "d_x");
}

std::vector<Param> params() {
  std::vector<Param> all{{{KernelClass::cpu}, false}, {{KernelClass::cpu, 0, false}, false}};
  for (const uint32_t tile : {32U, 64U, 128U}) all.push_back({{KernelClass::tiled, tile}, false});
  for (const MatmulKernel& coopmat : coopmat_kernels())
    for (const bool in_16_bits : {false, true})
      if (in_16_bits || coopmat.tile == 32) all.push_back({coopmat, in_16_bits});
  for (const MatmulKernel& coopmat2 : coopmat2_kernels())
    for (const bool in_16_bits : {false, true})
      if (!coopmat2.emulated || coopmat2.tile == 64) all.push_back({coopmat2, in_16_bits});
  return all;
}
std::string param_name(const testing::TestParamInfo<Param>& info) {
  const MatmulKernel& kernel = info.param.kernel;
  const std::string_view form = kernel.kernel_class != KernelClass::cpu ? "" : kernel.load64 ? "_load64" : "_load32";
  return fmt::format("{}{}{}{}{}{}", to_string(kernel.kernel_class), form, kernel.tile != 0 ? fmt::format("_{}", kernel.tile) : "",
                     kernel.tile_cols != 0 ? fmt::format("x{}{}", kernel.tile_cols, kernel.emulated ? "_emulated" : "") : "",
                     kernel.precision == Precision::f32 ? "" : fmt::format("_{}", to_string(kernel.precision)),
                     info.param.in_16_bits ? "_in_16_bits" : "");
}
INSTANTIATE_TEST_SUITE_P(Kernels, NonlinearMatmul, testing::ValuesIn(params()), param_name);

}  // namespace
}  // namespace lapilli::test
