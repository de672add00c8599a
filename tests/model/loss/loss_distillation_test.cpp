// Distillation: the loss with a teacher, whose logits are computed chunk by chunk.
#include <cmath>

#include "model/loss/linear_cross_entropy.h"
#include "shaders/loss/args.h"
#include "tests/common/finite_difference.h"
#include "tests/common/support.h"
#include "tools/check/reference/reference_loss.h"

namespace lapilli::test {
namespace {

using reference::LossProblem;
using reference::LossResult;

struct DistillationRun {
  std::vector<float> nll, d_x, d_w;
  LossSums sums;
  std::vector<uint32_t> status;
};

LossProblem make_problem(uint32_t tokens, uint32_t dim, uint32_t teacher_dim, uint32_t vocab, uint32_t seed) {
  LossProblem p{.tokens = tokens, .dim = dim, .vocab = vocab};
  p.x = widen(random_values(uint64_t{tokens} * dim, seed));
  p.w = widen(random_values(uint64_t{vocab} * dim, seed + 1, 2.0F));
  p.teacher_dim = teacher_dim;
  p.teacher_x = widen(random_values(uint64_t{tokens} * teacher_dim, seed + 2));
  p.teacher_w = widen(random_values(uint64_t{vocab} * teacher_dim, seed + 3, 3.0F));
  p.distillation = 0.625;
  for (uint32_t n = 0; n < tokens; ++n) {
    p.targets.push_back((n * 31 + vocab - 1) % vocab);
    p.weights.push_back(n % 5 == 1 ? 0 : n % 3 == 0 ? 0.5 : 1);
  }
  return p;
}

DistillationRun run(const LossProblem& p, LossOptions options, const std::optional<MatmulKernel>& force = std::nullopt) {
  options.label_smoothing = static_cast<float>(p.smoothing);
  options.z_loss = static_cast<float>(p.z_loss);
  options.softcap = static_cast<float>(p.softcap);
  options.temperature = static_cast<float>(p.temperature);
  options.distillation = static_cast<float>(p.distillation);
  options.teacher_softcap = static_cast<float>(p.teacher_softcap);
  double weight = 0;
  for (uint32_t n = 0; n < p.tokens; ++n) weight += p.valid(n) ? p.weights[n] : 0;
  std::vector<float> teacher_x = narrow(p.teacher_x);
  for (uint32_t n = 0; n < p.tokens; ++n)  // the teacher's values in masked rows do not matter
    if (!p.valid(n)) std::fill_n(teacher_x.begin() + static_cast<std::ptrdiff_t>(uint64_t{n} * p.teacher_dim), p.teacher_dim, std::nanf(""));

  Bench bench;
  const DType operand_type = force ? storage_type(force->precision) : DType::f32;
  const LossInputs inputs{.x = bench.input({p.tokens, p.dim}, narrow(p.x)),
                          .w = bench.input({p.vocab, p.dim}, narrow(p.w), operand_type),
                          .targets = bench.input({p.tokens}, p.targets),
                          .weights = bench.input({p.tokens}, narrow(p.weights)),
                          .teacher_x = bench.input({p.tokens, p.teacher_dim}, teacher_x),
                          .teacher_w = bench.input({p.vocab, p.teacher_dim}, narrow(p.teacher_w), operand_type)};
  const Tensor inverse = bench.input({1}, std::vector<float>{static_cast<float>(1 / weight)});
  const LossOutputs outputs{
      .nll = bench.output({p.tokens}), .sums = bench.output({args::kSumCount}), .status = bench.output({args::kStatusWords}, DType::u32)};
  const LossGradients gradients{.d_x = bench.output({p.tokens, p.dim}), .d_w = bench.output({p.vocab, p.dim})};
  const LossShape shape{.tokens = p.tokens, .dim = p.dim, .vocab = p.vocab, .teacher_dim = p.teacher_dim};
  LinearCrossEntropy loss(bench.arena(), device().caps(), shape, options, plan_loss(options, shape, true), force);
  bench.run([&](Ops& ops) { loss.forward_backward(ops, outputs, gradients, inputs, inverse); });
  return {bench.read(outputs.nll), bench.read(gradients.d_x), bench.read(gradients.d_w), read_loss_sums(bench.read(outputs.sums)),
          bench.read_words(outputs.status)};
}

double largest(const Doubles& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

// Roundings of a logit of either model, absolute: a dot product of D terms, and the softcap's few.
double logit_error(const LossProblem& p) {
  const double student = (p.dim + 8.0) * p.dim * largest(p.x) * largest(p.w);
  const double teacher = (p.teacher_dim + 8.0) * p.teacher_dim * largest(p.teacher_x) * largest(p.teacher_w);
  return kEpsilon * (student + teacher) / p.temperature;
}

// Each term is a sum over V of q times logits no larger than `range`; q and the logits err by the logits' error and by a
// rounding a term.
double term_bound(const LossProblem& p, double rows) {
  const double range = 2 * (p.dim * largest(p.x) * largest(p.w) + p.teacher_dim * largest(p.teacher_x) * largest(p.teacher_w)) / p.temperature + 1;
  return rows * (range * (2 * logit_error(p) + kEpsilon * (p.vocab + 32.0)));
}

void expect_matches(const DistillationRun& actual, const LossProblem& p, const char* what, Precision precision = Precision::f32) {
  const LossResult expected = reference::loss(p);
  const double bound = term_bound(p, expected.weight);
  EXPECT_NEAR(actual.sums.nll, expected.sum_nll, bound) << what;
  EXPECT_NEAR(actual.sums.teacher_entropy, expected.sum_teacher_entropy, bound) << what;
  EXPECT_NEAR(actual.sums.teacher_cross_entropy, expected.sum_teacher_cross_entropy, bound) << what;
  EXPECT_NEAR(actual.sums.teacher_kl, expected.sum_teacher_kl, bound) << what;
  EXPECT_NEAR(actual.sums.objective, expected.sum_objective, bound * (1 + p.z_loss * 40)) << what;
  // dz is made of terms no larger than 1 that err by `relative`; then a dot product over V or N.
  const double relative = 4 * logit_error(p) + kEpsilon * (p.vocab + 64.0);
  const double row_weight = *std::ranges::max_element(p.weights) / expected.weight / p.temperature;
  // In 16 bits each is rounded, to nothing less than 2^-25 of kGradientScale.
  const double of_operand = operand_rounding(precision),
               vanished = precision == Precision::f16 ? 0x1p-25 / args::kGradientScale / expected.weight : 0;
  Doubles x_bound, w_bound;
  for (const double magnitude : expected.d_x_magnitude)
    x_bound.push_back(relative * (2 * magnitude + 3 * row_weight * largest(p.w)) + of_operand * (1 + relative) * magnitude +
                      vanished * p.vocab * largest(p.w));
  for (const double magnitude : expected.d_w_magnitude)
    w_bound.push_back((relative + kEpsilon * p.tokens) * (2 * magnitude + 3 * row_weight * largest(p.x) * p.tokens) +
                      of_operand * (1 + relative) * magnitude + vanished * p.tokens * largest(p.x));
  for (uint32_t n = 0; n < p.tokens; ++n)
    if (!p.valid(n)) std::fill_n(x_bound.begin() + static_cast<std::ptrdiff_t>(uint64_t{n} * p.dim), p.dim, 0.0);  // exactly 0
  expect_close(actual.d_x, expected.d_x, x_bound, what);
  expect_close(actual.d_w, expected.d_w, w_bound, what);
}

LossOptions full() { return {.strategy = LossStrategy::full}; }
LossOptions in_row_chunks(uint32_t rows) { return {.strategy = LossStrategy::tokens, .chunk = rows}; }
LossOptions chunked(uint32_t columns, uint64_t memory_mib = 0) {
  return {.strategy = LossStrategy::vocab, .chunk = columns, .memory_mib = memory_mib};
}

struct Case {
  const char* name;
  uint32_t tokens, dim, teacher_dim, vocab;
  double smoothing, z_loss, softcap, temperature, teacher_softcap;
};
class LossDistillation : public testing::TestWithParam<Case> {};

TEST_P(LossDistillation, EveryStrategy_MatchesTermsAndGradients) {
  const Case& c = GetParam();
  LossProblem p = make_problem(c.tokens, c.dim, c.teacher_dim, c.vocab, 11);
  p.smoothing = static_cast<float>(c.smoothing);
  p.z_loss = static_cast<float>(c.z_loss);
  p.softcap = c.softcap;
  p.temperature = c.temperature;
  p.teacher_softcap = c.teacher_softcap;
  expect_matches(run(p, full()), p, "full");
  expect_matches(run(p, in_row_chunks(c.tokens / 2 + 1)), p, "tokens, two ranges");
  expect_matches(run(p, chunked(c.vocab / 3 + 1)), p, "vocab, one logits buffer");
  expect_matches(run(p, chunked(7, 1)), p, "vocab, all chunks kept");
}

INSTANTIATE_TEST_SUITE_P(Shapes, LossDistillation,
                         testing::Values(Case{"Plain", 17, 9, 13, 37, 0, 0, 0, 1, 0}, Case{"EvenWidths", 33, 16, 32, 67, 0, 0, 0, 1, 0},
                                         Case{"OneColumn", 3, 2, 5, 1, 0, 0, 0, 1, 0}, Case{"TwoStrips", 5, 4, 6, 1031, 0, 0, 0, 1, 0},
                                         Case{"Softcaps", 13, 9, 7, 37, 0, 0, 4, 1, 3}, Case{"Temperature", 13, 9, 7, 37, 0, 0, 0, 2.5, 0},
                                         Case{"Together", 17, 11, 8, 53, 0.1, 1e-3, 5, 1.5, 6}),
                         [](const testing::TestParamInfo<Case>& test) { return test.param.name; });

TEST(Distillation, CrossEntropy_IsEntropyPlusDivergenceToRounding) {
  const LossProblem p = make_problem(41, 12, 20, 301, 21);
  const DistillationRun r = run(p, chunked(64));
  // Three separate sums: each over V of q times a value below about 100 nats.
  const double rows = reference::loss(p).weight;
  EXPECT_NEAR(r.sums.teacher_cross_entropy, r.sums.teacher_entropy + r.sums.teacher_kl, rows * 100 * kEpsilon * (p.vocab + 32.0));
  EXPECT_GT(r.sums.teacher_kl, 0);
  EXPECT_GT(r.sums.teacher_entropy, 0);
}

TEST(Distillation, TeacherEqualToStudent_HasNoDivergenceAndNoGradient) {
  LossProblem p = make_problem(19, 8, 8, 45, 31);
  p.teacher_x = p.x;
  p.teacher_w = p.w;
  p.distillation = 1;
  const DistillationRun r = run(p, chunked(16));
  EXPECT_NEAR(r.sums.teacher_kl, 0, 19 * 16 * kEpsilon);
  for (const float d : r.d_w) EXPECT_NEAR(d, 0, 64 * kEpsilon);
}

TEST(Distillation, HardAndSoftLimits_AreTheTwoLosses) {
  LossProblem p = make_problem(19, 8, 6, 45, 41);
  p.distillation = 0;
  const DistillationRun hard = run(p, full());
  EXPECT_EQ(hard.sums.objective, hard.sums.nll);
  p.distillation = 1;
  const DistillationRun soft = run(p, full());
  EXPECT_EQ(soft.sums.objective, soft.sums.teacher_cross_entropy);
  expect_same_bits(hard.nll, soft.nll, "the hard loss is reported whatever is minimised");
}

TEST(Distillation, TiledKernels_AgreeWithTheReference) {
  const LossProblem p = make_problem(37, 10, 7, 71, 51);
  expect_matches(run(p, chunked(40), MatmulKernel{KernelClass::tiled, 32}), p, "tiled");
}

TEST(Distillation, SixteenBitKernels_AgreeWithTheReference) {
  LossProblem p = make_problem(37, 16, 8, 71, 53);
  for (Doubles* values : {&p.x, &p.w, &p.teacher_x, &p.teacher_w})
    for (double& value : *values) value = std::round(16 * value) / 16;  // exact in 16 bits
  p.softcap = 5, p.smoothing = 0.1F;
  std::vector<MatmulKernel> kernels = coopmat2_kernels();
  for (const MatmulKernel& kernel : coopmat_kernels()) kernels.push_back(kernel);
  bool ran = false;
  for (const MatmulKernel& kernel : kernels) {  // the smallest tiles: the others take half a minute to compile
    if (kernel.tile != (kernel.kernel_class == KernelClass::coopmat ? 32 : 64) || why_not(kernel)) continue;
    ran = true;
    SCOPED_TRACE(kernel.to_string());
    expect_matches(run(p, chunked(40), kernel), p, "one logits buffer", kernel.precision);
    expect_matches(run(p, full(), kernel), p, "full", kernel.precision);
  }
  if (!ran) GTEST_SKIP() << device().caps().name << " has no 16-bit matrices";
}

TEST(Distillation, NaNOfTheTeacher_NamesTheRow) {
  LossProblem p = make_problem(9, 4, 4, 23, 61);
  p.teacher_x[5 * 4 + 2] = std::nan("");
  const DistillationRun r = run(p, chunked(8));
  EXPECT_EQ(non_finite_row(r.status), std::optional<uint32_t>(5));
}

TEST(LossReference, DistillationGradients_MatchFiniteDifferences) {
  for (const bool together : {false, true}) {
    LossProblem p = make_problem(6, 3, 4, 7, 71);
    if (together) p.smoothing = 0.1, p.z_loss = 0.02, p.softcap = 2, p.temperature = 1.3, p.teacher_softcap = 3;
    const LossResult r = reference::loss(p);
    reference::expect_gradient([&](const Doubles& x) { return reference::mean_objective(p, x, p.w); }, p.x, r.d_x, "x");
    reference::expect_gradient([&](const Doubles& w) { return reference::mean_objective(p, p.x, w); }, p.w, r.d_w, "w");
  }
}

}  // namespace
}  // namespace lapilli::test
