#include "model/ops/embedding.h"

#include "tests/common/finite_difference.h"
#include "tests/common/support.h"
#include "tools/check/reference/reference_embedding.h"

namespace lapilli::test {
namespace {

struct Case {
  uint32_t sequences, context, dim, vocab;
  uint32_t row_subgroups;
  uint32_t rows() const { return sequences * context; }
  reference::Embedding reference() const { return {rows(), dim, vocab, context}; }
};
class Embedding : public testing::TestWithParam<Case> {};

// About every fifth id is outside [0, vocab): by one, or by the maximum.
std::vector<uint32_t> random_tokens(const Case& p, bool with_strangers) {
  std::minstd_rand generator(7);
  std::vector<uint32_t> tokens(p.rows());
  for (uint32_t& token : tokens) {
    token = static_cast<uint32_t>(generator() % p.vocab);
    if (with_strangers && generator() % 5 == 0) token = generator() % 2 ? p.vocab : 0xFFFFFFFFU;
  }
  return tokens;
}

using Segments = reference::Segments;

TEST_P(Embedding, Forward_AddsTokenAndPosition) {
  const Case p = GetParam();
  const auto tokens = random_tokens(p, false);
  const auto wte_values = random_values(uint64_t{p.vocab} * p.dim, 1), wpe_values = random_values(uint64_t{p.context} * p.dim, 2);
  Bench bench;
  const Tensor ids = bench.input({p.rows()}, tokens), wte = bench.input({p.vocab, p.dim}, wte_values);
  const Tensor wpe = bench.input({p.context, p.dim}, wpe_values), x = bench.output({p.rows(), p.dim});
  const Tensor without = bench.output({p.rows(), p.dim});
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    embedding_forward(ops, x, ids, wte, wpe, p.context);
    embedding_forward(ops, without, ids, wte, {}, p.context);
  });
  // One addition, correctly rounded: as the double sum rounded to float. Without positions: a copy.
  EXPECT_EQ(bench.read(x), narrow(p.reference().forward(tokens, widen(wte_values), widen(wpe_values))));
  EXPECT_EQ(bench.read(without), narrow(p.reference().forward(tokens, widen(wte_values), {})));
}

TEST_P(Embedding, Backward_SumsEachTokensRowsAndRerunsToTheBit) {
  const Case p = GetParam();
  const auto tokens = random_tokens(p, true);
  const Segments segments(tokens);
  const auto gradients = random_values(uint64_t{p.rows()} * p.dim, 3), old = random_values(uint64_t{p.vocab} * p.dim, 4);
  const auto old_positions = random_values(uint64_t{p.context} * p.dim, 5);
  Bench bench;
  const Tensor ids = bench.input({p.rows()}, tokens), d_x = bench.input({p.rows(), p.dim}, gradients);
  const Tensor order = bench.input({p.rows()}, segments.order), start = bench.input({p.rows() + 1}, segments.start);
  const Tensor count = bench.input({1}, segments.count);
  const Tensor d_wte = bench.input({p.vocab, p.dim}, old), again = bench.input({p.vocab, p.dim}, old);
  const Tensor d_wpe = bench.output({p.context, p.dim}), sum_wpe = bench.input({p.context, p.dim}, old_positions);
  bench.run([&](Ops& ops) {
    ops.row_subgroups = p.row_subgroups;
    embedding_backward(ops, d_wte, d_x, order, start, count, ids);
    embedding_backward(ops, again, d_x, order, start, count, ids);
    position_embedding_backward(ops, d_wpe, d_x, p.context, Into::overwrite);
    position_embedding_backward(ops, sum_wpe, d_x, p.context, Into::accumulate);
  });
  const auto expected = p.reference().backward(tokens, widen(gradients));
  const auto check = [&](const Tensor& actual, const Doubles& sum, const Doubles& magnitude, const Doubles& terms, const std::vector<float>* before,
                         const char* what) {
    Doubles value = sum;
    for (size_t i = 0; i < sum.size() && before; ++i) value[i] += static_cast<double>((*before)[i]);
    expect_close(bench.read(actual), value, p.reference().bound(magnitude, terms, before), what);
  };
  check(d_wte, expected.d_wte, expected.d_wte_magnitude, expected.token_count, &old, "d_wte");
  const Doubles positions(p.context, p.sequences);
  check(d_wpe, expected.d_wpe, expected.d_wpe_magnitude, positions, nullptr, "d_wpe");
  check(sum_wpe, expected.d_wpe, expected.d_wpe_magnitude, positions, &old_positions, "accumulated d_wpe");
  expect_same_bits(bench.read(again), bench.read(d_wte), "d_wte again");
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const Case& p = info.param;
  return fmt::format("{}x{}x{}_of_{}{}", p.sequences, p.context, p.dim, p.vocab, p.row_subgroups ? "_FourSubgroups" : "");
}
INSTANTIATE_TEST_SUITE_P(Shapes, Embedding,
                         testing::Values(Case{1, 1, 1, 1, 0}, Case{1, 1, 8, 3, 0}, Case{3, 5, 7, 2, 0}, Case{2, 17, 33, 11, 0}, Case{5, 1, 16, 1, 0},
                                         Case{2, 129, 64, 97, 0}, Case{31, 9, 17, 1031, 0}, Case{4, 31, 257, 5, 0}, Case{3, 5, 97, 7, 4}),
                         case_name);

// Guard rows around wte detect reads and writes outside it.
TEST(Embedding, TokenOutsideTheVocabulary_GivesNaNAndTouchesNothingElse) {
  constexpr uint32_t kDim = 19, kVocab = 5;
  const std::vector<uint32_t> tokens{2, kVocab, 0xFFFFFFFFU, 4, 0x80000000U};
  const Segments segments(tokens);
  const auto wte_values = random_values(kVocab * kDim, 1);
  Bench bench;
  const Tensor ids = bench.input({5}, tokens), wte = bench.input({kVocab, kDim}, wte_values), x = bench.output({5, kDim});
  const Tensor d_x = bench.input({5, kDim}, std::vector<float>(5 * kDim, 1.0F));
  const Tensor order = bench.input({5}, segments.order), start = bench.input({6}, segments.start), count = bench.input({1}, segments.count);
  const Tensor guarded = bench.input({kVocab + 2, kDim}, std::vector<float>((kVocab + 2) * kDim, 0.0F));
  bench.run([&](Ops& ops) {
    embedding_forward(ops, x, ids, wte, {}, 5);
    embedding_backward(ops, guarded.row_range(1, kVocab), d_x, order, start, count, ids);
  });
  const auto values = bench.read(x), gradient = bench.read(guarded);
  for (uint32_t n = 0; n < 5; ++n)
    for (uint32_t i = 0; i < kDim; ++i) {
      const float value = values[n * kDim + i];
      if (tokens[n] < kVocab) EXPECT_EQ(value, wte_values[tokens[n] * kDim + i]);
      else EXPECT_TRUE(std::isnan(value)) << "row " << n;
    }
  for (uint32_t row = 0; row < kVocab + 2; ++row)
    for (uint32_t i = 0; i < kDim; ++i) EXPECT_EQ(gradient[row * kDim + i], row == 3 || row == 5 ? 1.0F : 0.0F) << "row " << row;
}

TEST(EmbeddingReference, Backward_AgreesWithFiniteDifferences) {
  const reference::Embedding embedding{6, 3, 4, 3};
  const std::vector<uint32_t> tokens{1, 0, 1, 3, 1, 3};
  const Doubles wte = widen(random_values(12, 1)), wpe = widen(random_values(9, 2)), d_x = widen(random_values(18, 3));
  const auto backward = embedding.backward(tokens, d_x);
  reference::expect_gradient([&](const Doubles& v) { return reference::dot(d_x, embedding.forward(tokens, v, wpe)); }, wte, backward.d_wte, "d_wte");
  reference::expect_gradient([&](const Doubles& v) { return reference::dot(d_x, embedding.forward(tokens, wte, v)); }, wpe, backward.d_wpe, "d_wpe");
}

}  // namespace
}  // namespace lapilli::test
