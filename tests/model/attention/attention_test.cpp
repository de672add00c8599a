#include "model/attention/attention.h"

#include <cmath>

#include "model/ops/rope.h"
#include "tests/common/support.h"
#include "tools/check/attention_case.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::test {
namespace {

struct Case {
  AttentionSize size;
  bool documents;
};

struct Form : AttentionForm {
  uint32_t candidate = 0;  // index among the tuning candidates; 0: the device's default
};
std::string to_string(const Form& form) {
  if (form.candidate != 0) return fmt::format("{}_candidate{}", lapilli::to_string(form.kernel_class), form.candidate);
  if (form.kernel_class != KernelClass::coopmat) return lapilli::to_string(form.kernel_class);
  const auto bits = [](DType dtype) { return 8 * size_bytes(dtype); };
  return fmt::format("{}_{}_{}in_{}out", lapilli::to_string(form.kernel_class), lapilli::to_string(form.precision), bits(form.inputs),
                     bits(form.outputs));
}

using Param = std::tuple<Form, Case>;
class Attention : public testing::TestWithParam<Param> {
 protected:
  const Form form = std::get<Form>(GetParam());
  const AttentionSize size = std::get<Case>(GetParam()).size;
  const std::vector<uint32_t> start = std::get<Case>(GetParam()).documents ? document_starts(size) : std::vector<uint32_t>{};

  void SetUp() override {
    // SwiftShader takes a minute to compile the tiled kernels for one head width, and every test is a process of its own: one
    // case runs there, all of them on lavapipe.
    const bool slow = form.kernel_class == KernelClass::tiled && device().caps().name.find("SwiftShader") != std::string::npos;
    const bool chosen =
        size.T == 17 && size.E == 8 && std::string(testing::UnitTest::GetInstance()->current_test_info()->name()).starts_with("Random");
    if (slow && !chosen) GTEST_SKIP() << "SwiftShader needs a minute to compile the tiled kernels of each case; lavapipe runs them all";
    if (const auto reason = why_not({.kernel_class = form.kernel_class, .precision = form.precision})) GTEST_SKIP() << *reason;
  }

  AttentionShape shape(AttentionPass pass) const {
    AttentionShape shape{size.B, size.T, size.H, size.G, size.E, form.kernel_class};
    const AttentionKernel default_kernel = attention_kernel(device().caps(), form.precision, size.E, pass, form.kernel_class);
    const auto all = attention_candidates(device().caps(), form.precision, size.E, pass, form.inputs, default_kernel);
    if (form.candidate != 0) shape.kernel = all[std::min<size_t>(form.candidate, all.size() - 1)];
    return shape;
  }
  bool may_see(uint32_t b, uint32_t query, uint32_t key) const { return key <= query && (start.empty() || key >= start[b * size.T + query]); }

  struct Forward {
    std::vector<float> out, lse;
  };
  Forward forward(const std::vector<float>& qkv) const {
    Bench bench;
    const Tensor tqkv = bench.input(qkv_shape(), qkv, form.inputs), tstart = start_tensor(bench);
    const Tensor out = bench.output({size.B * size.T, size.H * size.E}, form.outputs), lse = bench.output({size.B * size.H * size.T});
    bench.run([&](Ops& ops) {
      ops.precision = form.precision;
      attention_forward(ops, out, lse, tqkv, tstart, shape(AttentionPass::forward));
    });
    return {bench.read(out), bench.read(lse)};
  }
  std::vector<float> backward(const std::vector<float>& d_out, const std::vector<float>& qkv, const std::vector<float>& out,
                              const std::vector<float>& lse, const std::vector<float>& cos_sin_table = {}) const {
    Bench bench;
    const Shape rows{size.B * size.T, size.H * size.E};
    const Tensor tqkv = bench.input(qkv_shape(), qkv, form.inputs), tstart = start_tensor(bench);
    const Tensor td_out = bench.input(rows, d_out, form.inputs), tout = bench.input(rows, out, form.outputs),
                 tlse = bench.input({size.B * size.H * size.T}, lse);
    const Tensor tcos_sin =
        cos_sin_table.empty() ? Tensor() : bench.input({static_cast<uint32_t>(cos_sin_table.size() / size.E), size.E}, cos_sin_table);
    const Tensor d_qkv = bench.output(qkv_shape(), form.outputs), delta = bench.output({size.B * size.H * size.T});
    bench.run([&](Ops& ops) {
      ops.precision = form.precision;
      attention_backward(ops, d_qkv, delta, td_out, tqkv, tout, tlse, tstart, tcos_sin, shape(AttentionPass::backward));
    });
    return bench.read(d_qkv);
  }

  // d_out is rounded beforehand, because delta reads it from memory without rounding.
  void check_against_reference(float scale, bool turned = false) const {
    const auto qkv = random_qkv(scale);
    const reference::Arithmetic arithmetic = arithmetic_of(form);
    auto expected = reference::attention_forward(size, as_operands(qkv), start, arithmetic);
    const Forward actual = forward(qkv);
    expect_close(actual.out, expected.out, in_memory(expected.out, expected.out_bound), "out");
    expect_close(actual.lse, expected.lse, expected.lse_bound, "lse");

    const auto d_out = narrow(as_operands(random_values(size.out_size(), 12)));
    const auto out = narrow(expected.out);
    if (form.outputs != DType::f32) expected.out = as_operands(out);
    auto gradient = reference::attention_backward(size, as_operands(d_out), as_operands(qkv), expected, start, arithmetic);
    expect_close(backward(d_out, qkv, out, narrow(expected.lse)), gradient.d_qkv, in_memory(gradient.d_qkv, gradient.bound), "d_qkv");
    if (!turned) return;
    const reference::Rope rope{uint64_t{size.B} * size.T, size.T, size.H + size.G, size.E, (size.H + 2 * size.G) * size.E, 50};
    gradient.d_qkv = rope.rotate(gradient.d_qkv, -1, &gradient.bound);
    expect_close(backward(d_out, qkv, out, narrow(expected.lse), make_cos_sin_table(size.T + 2, size.E, 50)), gradient.d_qkv,
                 in_memory(gradient.d_qkv, gradient.bound), "d_qkv turned back");
  }
  Doubles as_operands(const std::vector<float>& values) const { return check::as_operands(values, form.precision); }
  Doubles in_memory(const Doubles& values, const Doubles& bound) const { return check::in_memory(values, bound, form); }
  std::vector<float> random_qkv(float scale) const { return check::random_qkv(size, scale); }

 private:
  Shape qkv_shape() const { return {size.B * size.T, (size.H + 2 * size.G) * size.E}; }
  Tensor start_tensor(Bench& bench) const { return start.empty() ? Tensor() : bench.input({size.B * size.T}, start); }
};

TEST_P(Attention, RandomInputs_ForwardAndBackwardMatchReference) { check_against_reference(2.0F); }

TEST_P(Attention, HugeScores_FiniteAndCorrect) {
  // |score| up to E^(1/2) scale^2: beyond 1e4 for every E.
  check_against_reference(110.0F);
}

TEST_P(Attention, SecondRun_SameBits) {
  const auto qkv = random_qkv(2.0F), d_out = random_values(size.out_size(), 12);
  const Forward first = forward(qkv), second = forward(qkv);
  expect_same_bits(first.out, second.out, "out");
  expect_same_bits(first.lse, second.lse, "lse");
  expect_same_bits(backward(d_out, qkv, first.out, first.lse), backward(d_out, qkv, first.out, first.lse), "d_qkv");
}

void expect_nan_or_same(float actual, float clean, bool is_nan, const char* what, uint64_t at) {
  if (is_nan) ASSERT_TRUE(std::isnan(actual)) << what << " [" << at << "] = " << actual;
  else ASSERT_EQ(actual, clean) << what << " [" << at << "]";
}

TEST_P(Attention, NanInAValueAndAKey_ReachesTheirOwnQueriesOnly) {
  const auto qkv = random_qkv(1.0F);
  const Forward clean = forward(qkv);
  const uint32_t bad_b = size.B - 1, bad_t = size.T / 2, bad_g = size.G - 1, bad_e = size.E / 2;
  for (const bool in_key : {false, true}) {
    auto poisoned = qkv;
    poisoned[(in_key ? size.k_at(bad_b, bad_t, bad_g) : size.v_at(bad_b, bad_t, bad_g)) + bad_e] = NAN;
    const Forward actual = forward(poisoned);
    for (uint32_t b = 0; b < size.B; ++b)
      for (uint32_t t = 0; t < size.T; ++t)
        for (uint32_t h = 0; h < size.H; ++h) {
          const bool sees = b == bad_b && h / (size.H / size.G) == bad_g && may_see(b, t, bad_t);
          for (uint32_t e = 0; e < size.E; ++e) {
            const uint64_t at = size.out_at(b, t, h) + e;
            expect_nan_or_same(actual.out[at], clean.out[at], sees && (in_key || e == bad_e), "out", at);
          }
          const uint64_t at = size.lse_at(b, h, t);
          expect_nan_or_same(actual.lse[at], clean.lse[at], sees && in_key, "lse", at);
        }
  }
}

TEST_P(Attention, NanInAnOutputGradient_ReachesTheKeysThatTheQuerySeesOnly) {
  const auto qkv = random_qkv(1.0F), d_out = random_values(size.out_size(), 12);
  const Forward f = forward(qkv);
  const auto clean = backward(d_out, qkv, f.out, f.lse);
  const uint32_t bad_b = size.B / 2, bad_t = size.T / 2, bad_h = size.H - 1, bad_e = size.E / 2;
  auto poisoned = d_out;
  poisoned[size.out_at(bad_b, bad_t, bad_h) + bad_e] = NAN;
  const auto actual = backward(poisoned, qkv, f.out, f.lse);
  for (uint32_t b = 0; b < size.B; ++b)
    for (uint32_t t = 0; t < size.T; ++t) {
      const bool seen = b == bad_b && may_see(b, bad_t, t);
      for (uint32_t e = 0; e < size.E; ++e) {
        for (uint32_t h = 0; h < size.H; ++h) {
          const uint64_t at = size.q_at(b, t, h) + e;
          expect_nan_or_same(actual[at], clean[at], b == bad_b && t == bad_t && h == bad_h, "d_q", at);
        }
        for (uint32_t g = 0; g < size.G; ++g) {
          const bool hit = seen && g == bad_h / (size.H / size.G);
          expect_nan_or_same(actual[size.k_at(b, t, g) + e], clean[size.k_at(b, t, g) + e], hit, "d_k", size.k_at(b, t, g) + e);
          expect_nan_or_same(actual[size.v_at(b, t, g) + e], clean[size.v_at(b, t, g) + e], hit && e == bad_e, "d_v", size.v_at(b, t, g) + e);
        }
      }
    }
}

// A tile that is partly masked is searched for non-finite values, and queries that see one get NaN:
// but only for values in the tile, not for others that are fetched with it.
class AttentionTiles : public Attention {};
TEST_P(AttentionTiles, InfinityInTheFirstValueAndNanInTheLast_StayApart) {
  constexpr uint32_t kLargestTile = 64;
  auto qkv = random_qkv(1.0F);
  qkv[size.v_at(0, 0, 0)] = INFINITY;
  qkv[size.v_at(0, size.T - 1, 0)] = NAN;
  const Forward actual = forward(qkv);
  for (uint32_t t = kLargestTile; t < (size.T - 1) / kLargestTile * kLargestTile; ++t)
    EXPECT_EQ(actual.out[size.out_at(0, t, 0)], INFINITY) << "query " << t;
  EXPECT_TRUE(std::isnan(actual.out[size.out_at(0, size.T - 1, 0)]));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::pair<uint32_t, uint32_t> heads[] = {{1, 1}, {4, 4}, {6, 2}, {5, 1}};  // H, G
  const uint32_t widths[] = {4, 8, 20, 32, 64};
  uint32_t i = 0;
  // Contexts around every subgroup width in use (4, 8, 16, 32) and around the tiles; the other sizes alternate.
  for (const uint32_t T : {1U, 2U, 3U, 5U, 7U, 9U, 15U, 17U, 31U, 33U, 61U, 63U, 64U, 65U, 67U, 130U})
    for (const bool documents : {false, true}) {
      const auto [H, G] = heads[i % 4];
      all.push_back({{1 + i % 3, T, H, G, widths[(i + i / 5) % 5]}, documents});
      ++i;
    }
  return all;
}

// Other head widths. Wide ones make lavapipe compile the tiled kernels for minutes: they are left to the cpu class.
std::vector<Case> width_cases() { return {{{2, 35, 2, 1, 1}, false}, {{2, 35, 2, 1, 33}, false}, {{2, 35, 2, 1, 80}, true}}; }
std::vector<Case> wide_cases() {
  return {{{1, 35, 2, 1, 34}, true}, {{2, 35, 2, 1, 48}, true}, {{2, 35, 2, 1, 128}, false}, {{1, 35, 2, 1, 256}, true}};
}

std::string case_name(const testing::TestParamInfo<Param>& info) {
  const auto& [form, p] = info.param;
  const AttentionSize& s = p.size;
  return fmt::format("{}_B{}T{}H{}G{}E{}{}", to_string(form), s.B, s.T, s.H, s.G, s.E, p.documents ? "_documents" : "");
}

// Around the fragments (8, 16), and the tiles of 32 and 64; head widths that fill fragments and ones that do not.
std::vector<Case> coopmat_cases() {
  std::vector<Case> all;
  const std::pair<uint32_t, uint32_t> heads[] = {{1, 1}, {4, 2}, {2, 2}, {3, 1}};  // H, G
  const uint32_t widths[] = {64, 16, 40, 20};
  uint32_t i = 0;
  for (const uint32_t T : {1U, 7U, 9U, 31U, 33U, 63U, 64U, 65U, 97U, 130U})
    for (const bool documents : {false, true}) {
      const auto [H, G] = heads[(i + i / 4) % 4];
      all.push_back({{1 + i % 2, T, H, G, widths[(i + i / 4) % 4]}, documents});
      ++i;
    }
  return all;
}
// Wider than 64 the backward has twice the subgroups. Lavapipe compiles each form for a minute: one is enough.
std::vector<Case> coopmat_wide_cases() {
  return {{{2, 65, 2, 1, 128}, true}, {{1, 33, 2, 2, 128}, false}, {{1, 97, 3, 1, 80}, false}, {{2, 31, 2, 1, 80}, true}};
}
std::vector<Form> coopmat_forms(bool mixed) {
  std::vector<Form> forms;
  for (const auto& [precision, own] : {std::pair{Precision::f16, DType::f16}, std::pair{Precision::bf16, DType::bf16}}) {
    forms.push_back({{KernelClass::coopmat, precision, mixed ? DType::f32 : own, own}});
    forms.push_back({{KernelClass::coopmat, precision, mixed ? own : DType::f32, DType::f32}});
  }
  return forms;
}
// An odd width: heads begin at any element.
std::vector<Form> coopmat_f32_forms() { return {{{KernelClass::coopmat, Precision::f16}}, {{KernelClass::coopmat, Precision::bf16}}}; }

const auto kBoth = testing::Values(Form{{KernelClass::cpu}}, Form{{KernelClass::tiled}});

class RotaryAttention : public Attention {};
TEST_P(RotaryAttention, RandomInputs_GradientsOfQAndKRotateBack) { check_against_reference(1, true); }
INSTANTIATE_TEST_SUITE_P(F32, RotaryAttention, testing::Combine(kBoth, testing::Values(Case{{2, 17, 4, 2, 10}, true})), case_name);
INSTANTIATE_TEST_SUITE_P(F32Wide, RotaryAttention,
                         testing::Combine(testing::Values(Form{{KernelClass::cpu}}),
                                          testing::Values(Case{{1, 35, 2, 1, 34}, false}, Case{{1, 35, 2, 1, 66}, true})),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Coopmat, RotaryAttention,
                         testing::Combine(testing::ValuesIn(coopmat_forms(false)),
                                          testing::Values(Case{{2, 70, 4, 2, 40}, true}, Case{{1, 35, 2, 1, 20}, false})),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Sizes, Attention, testing::Combine(kBoth, testing::ValuesIn(cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Widths, Attention, testing::Combine(kBoth, testing::ValuesIn(width_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Wide, Attention, testing::Combine(testing::Values(Form{{KernelClass::cpu}}), testing::ValuesIn(wide_cases())), case_name);
INSTANTIATE_TEST_SUITE_P(Coopmat, Attention, testing::Combine(testing::ValuesIn(coopmat_forms(false)), testing::ValuesIn(coopmat_cases())),
                         case_name);
INSTANTIATE_TEST_SUITE_P(CoopmatWide, Attention,
                         testing::Combine(testing::Values(Form{{KernelClass::coopmat, Precision::f16, DType::f16, DType::f16}},
                                                          Form{{KernelClass::coopmat, Precision::bf16, DType::bf16, DType::bf16}}),
                                          testing::ValuesIn(coopmat_wide_cases())),
                         case_name);
INSTANTIATE_TEST_SUITE_P(CoopmatMixed, Attention,
                         testing::Combine(testing::ValuesIn(coopmat_forms(true)),
                                          testing::Values(Case{{2, 70, 4, 2, 40}, true}, Case{{1, 35, 2, 1, 20}, false})),
                         case_name);
INSTANTIATE_TEST_SUITE_P(CoopmatOdd, Attention,
                         testing::Combine(testing::ValuesIn(coopmat_f32_forms()),
                                          testing::Values(Case{{2, 70, 2, 1, 33}, true}, Case{{1, 35, 2, 1, 1}, false})),
                         case_name);

// Tiles of 64 or 16 rows, whose groups of 8 elements do not divide evenly among threads: head widths 16 and 40.
const auto kTiles = testing::Values(Case{{1, 130, 1, 1, 16}, false}, Case{{1, 130, 2, 2, 40}, false});
INSTANTIATE_TEST_SUITE_P(F32, AttentionTiles, testing::Combine(kBoth, kTiles), case_name);
INSTANTIATE_TEST_SUITE_P(Coopmat, AttentionTiles, testing::Combine(testing::ValuesIn(coopmat_forms(false)), kTiles), case_name);

Form coopmat_candidate(uint32_t candidate) {
  return {{.kernel_class = KernelClass::coopmat, .precision = Precision::f16, .inputs = DType::f16, .outputs = DType::f16}, candidate};
}
INSTANTIATE_TEST_SUITE_P(CoopmatCandidates, Attention,
                         testing::Combine(testing::Values(coopmat_candidate(1), coopmat_candidate(2), coopmat_candidate(3)),
                                          testing::Values(Case{{2, 70, 4, 2, 24}, true})),
                         case_name);

// The default kernel for device and precision: out, or empty if the device has no matrices of that type.
std::vector<float> chosen_forward(const AttentionShape& shape, Precision precision, const std::vector<float>& qkv) {
  Bench bench;
  const Tensor tqkv = bench.input({shape.batch * shape.context, (shape.heads + 2 * shape.kv_heads) * shape.head_width}, qkv);
  const Tensor out = bench.output({shape.batch * shape.context, shape.heads * shape.head_width}),
               lse = bench.output({shape.batch * shape.heads * shape.context});
  bench.run([&](Ops& ops) {
    ops.precision = precision;
    attention_forward(ops, out, lse, tqkv, {}, shape);
  });
  return bench.read(out);
}

TEST(AttentionCoopmat, Precision_ChoosesTheKernelUpToTheWidestHead) {
  if (const auto reason = why_not({.kernel_class = KernelClass::coopmat, .precision = Precision::f16})) GTEST_SKIP() << *reason;
  EXPECT_TRUE(has_coopmat_attention(device().caps(), Precision::f16, 128));
  EXPECT_FALSE(has_coopmat_attention(device().caps(), Precision::f16, 129));
  EXPECT_FALSE(has_coopmat_attention(device().caps(), Precision::f32, 64));
  for (const uint32_t width : {16U, 129U}) {
    AttentionShape shape{.batch = 1, .context = 33, .heads = 2, .kv_heads = 1, .head_width = width};
    const auto qkv = random_values(uint64_t{shape.context} * 4 * width, 31);
    const auto f32 = chosen_forward(shape, Precision::f32, qkv), f16 = chosen_forward(shape, Precision::f16, qkv);
    shape.force = width == 16 ? KernelClass::coopmat : device().caps().kernel_class;
    expect_same_bits(f16, chosen_forward(shape, Precision::f16, qkv), "out");
    EXPECT_EQ(f16 == f32, width != 16) << width;
  }
}

// Devices by their subgroups, fragments and shared memory: in every kernel, a lane packs whole groups of 8 scores.
TEST(AttentionTileConfigs, EveryDevice_LanesGetWholeVec8) {
  struct Made {
    uint32_t subgroup;
    MatrixShape shape;
    uint32_t shared;
  };
  for (const Made& made : {Made{32, {16, 16, 16}, 49152}, Made{32, {16, 8, 16}, 49152}, Made{32, {8, 8, 16}, 65536}, Made{32, {8, 16, 16}, 65536},
                           Made{64, {16, 16, 16}, 65536}, Made{16, {8, 16, 16}, 65536}, Made{32, {32, 16, 16}, 65536}, Made{16, {8, 8, 16}, 65536},
                           Made{8, {8, 8, 8}, 32768}}) {
    DeviceCaps caps;
    caps.subgroup_size = made.subgroup;
    caps.matrix_f16 = made.shape;
    caps.max_shared_bytes = made.shared;
    caps.max_workgroup_invocations = 1024;
    for (const uint32_t width : {16U, 40U, 64U, 65U, 96U, 128U})
      for (const AttentionPass pass : {AttentionPass::forward, AttentionPass::backward}) {
        const AttentionKernel default_kernel = attention_kernel(caps, Precision::f16, width, pass, KernelClass::coopmat);
        SCOPED_TRACE(fmt::format("{} lanes, {}x{}x{}, E {}", made.subgroup, made.shape.rows, made.shape.cols, made.shape.depth, width));
        EXPECT_NE(default_kernel.block_n, 0U);
        for (const AttentionKernel& kernel : attention_candidates(caps, Precision::f16, width, pass, DType::f16, default_kernel)) {
          const uint32_t rows = kernel.block_m / kernel.subgroups_m, lanes_of_row = made.subgroup > rows ? made.subgroup / rows : 1;
          EXPECT_GE(kernel.block_n / kernel.subgroups_n / lanes_of_row, 8U) << kernel.to_string();
          EXPECT_GE(kernel.block_n, made.shape.rows) << kernel.to_string() << ": d_kv's fragments have rows of what is met";
          EXPECT_EQ(kernel.block_n / kernel.subgroups_n / lanes_of_row % 8, 0U) << kernel.to_string();
        }
      }
  }
}

TEST(AttentionReference, Backward_MatchesCentralDifferences) {
  for (const bool documents : {false, true}) {
    const AttentionSize s{2, 5, 6, 2, 3};
    const auto qkv = widen(random_values(s.qkv_size(), 21, 2.0F)), weights = widen(random_values(s.out_size(), 22));
    const std::vector<uint32_t> start = documents ? std::vector<uint32_t>{0, 0, 2, 2, 2, 0, 1, 1, 1, 4} : std::vector<uint32_t>{};
    const auto loss = [&](const Doubles& x) {
      const auto out = reference::attention_forward(s, x, start).out;
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += weights[i] * out[i];
      return sum;
    };
    const auto gradient = reference::attention_backward(s, weights, qkv, reference::attention_forward(s, qkv, start), start).d_qkv;
    const double h = 1e-5;  // error h^2 from the formula, 1e-16 * |loss| / h from rounding: both below 1e-9
    for (size_t i = 0; i < qkv.size(); ++i) {
      auto up = qkv, down = qkv;
      up[i] += h, down[i] -= h;
      ASSERT_NEAR(gradient[i], (loss(up) - loss(down)) / (2 * h), 1e-8) << i;
    }
  }
}

}  // namespace
}  // namespace lapilli::test
