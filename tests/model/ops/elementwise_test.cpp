#include "model/ops/elementwise.h"

#include "model/ops/activation.h"
#include "model/ops/column_sum.h"
#include "model/ops/embedding.h"
#include "model/ops/optimizer.h"
#include "tests/common/finite_difference.h"
#include "tests/common/support.h"
#include "tools/check/reference/reference_elementwise.h"

namespace lapilli::test {
namespace {

class Elements : public testing::TestWithParam<uint32_t> {};

TEST_P(Elements, Add_IsCorrectlyRoundedAlsoInPlace) {
  const uint32_t count = GetParam();
  const auto a_values = random_values(count, 1), b_values = random_values(count, 2, 1000.0F);
  Bench bench;
  const Tensor a = bench.input({count}, a_values), b = bench.input({count}, b_values), y = bench.output({count});
  bench.run([&](Ops& ops) {
    add(ops, y, a, b);
    add(ops, a, a, b);
  });
  Doubles sum = widen(a_values);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(b_values[i]);
  EXPECT_EQ(bench.read(y), narrow(sum));  // double has more than twice the digits of float: rounding twice is rounding once
  EXPECT_EQ(bench.read(a), narrow(sum));
}

TEST_P(Elements, Dropout_FollowsItsMaskForwardAndBackward) {
  const uint32_t count = GetParam(), stream = 77;
  const std::vector<uint32_t> state{0x12345678U, 0x9ABCDEF0U, 3U, 0xFFFFFFFFU};
  const auto x_values = random_values(count, 3), addend_values = random_values(count, 4);
  for (const float rate : {0.0F, 0.1F, 0.5F, 0.99F}) {
    const reference::Dropout reference{state, stream, static_cast<double>(rate)};
    Bench bench;
    const Tensor x = bench.input({count}, x_values), addend = bench.input({count}, addend_values), random = bench.input({4}, state);
    const Tensor y = bench.output({count}), sum = bench.output({count}), d_x = bench.output({count});
    const Tensor in_place = bench.input({count}, x_values), onto_addend = bench.input({count}, addend_values);
    bench.run([&](Ops& ops) {
      dropout_forward(ops, y, x, {}, random, stream, rate);
      dropout_forward(ops, sum, x, addend, random, stream, rate);
      dropout_forward(ops, onto_addend, x, onto_addend, random, stream, rate);
      dropout_backward(ops, d_x, x, random, stream, rate);
      dropout_backward(ops, in_place, in_place, random, stream, rate);
    });
    // scale and the product are rounded; the addend's sum once more. A dropped element is 0, its bound too.
    const Doubles dropped = reference.apply(widen(x_values));
    expect_close(bench.read(y), dropped, 2.01, 0, "y");
    Doubles with_addend = dropped, bound(count);
    for (uint32_t i = 0; i < count; ++i) {
      with_addend[i] += static_cast<double>(addend_values[i]);
      bound[i] = 1.01 * kEpsilon * (2 * std::abs(dropped[i]) + std::abs(with_addend[i]));
    }
    expect_close(bench.read(sum), with_addend, bound, "y with addend");
    expect_same_bits(bench.read(onto_addend), bench.read(sum), "y in place of the addend");
    expect_same_bits(bench.read(d_x), bench.read(y), "backward, the same linear map");
    expect_same_bits(bench.read(in_place), bench.read(y), "y in place of x");
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Elements, testing::Values(1U, 2U, 5U, 31U, 97U, 255U, 257U, 1031U, 4099U));

// The result does not depend on the elements per lane: one, as on a GPU, or many, as on a CPU driver.
TEST(ElementRange, FormForGpus_GivesTheSameBits) {
  constexpr uint32_t kRows = 9, kCols = 457, kCount = kRows * kCols;  // more than four workgroups of either form
  const auto a = random_values(kCount, 1), b = random_values(kCount, 2), squares = std::vector<float>(kCount, 0.25F);
  std::vector<std::vector<float>> results[2];
  for (const uint32_t form : {0U, 1U}) {
    Bench bench;
    const Tensor x = bench.input({kRows, kCols}, a), y = bench.input({kRows, kCols}, b), random = bench.input({4}, std::vector<uint32_t>{1, 2, 3, 4});
    const Tensor p = bench.input({kCount}, a), m = bench.input({kCount}, b), v = bench.input({kCount}, squares);
    const Tensor step = bench.input({4}, std::vector<float>{0.1F, 2.0F, 3.0F, 1.0F}), positions = bench.output({3, kCols});
    std::vector<Tensor> outputs{p, m, v, positions};
    for (int i = 0; i < 3; ++i) outputs.push_back(bench.output({kRows, kCols}));
    bench.run([&](Ops& ops) {
      ops.row_subgroups = form;
      add(ops, outputs[4], x, y);
      dropout_forward(ops, outputs[5], x, y, random, 5, 0.3F);
      gelu_forward(ops, outputs[6], x);
      position_embedding_backward(ops, positions, x, 3, Into::overwrite);
      adamw(ops, p, m, v, {}, y, step, {}, {});
    });
    for (const Tensor& output : outputs) results[form].push_back(bench.read(output));
  }
  for (size_t i = 0; i < results[0].size(); ++i) expect_same_bits(results[0][i], results[1][i], "output");
}

TEST(Dropout, KeptShareAndStreams_HaveTheExpectedStatistics) {
  constexpr uint32_t kCount = 40009;
  constexpr double kRate = 0.25;
  const std::vector<float> ones(kCount, 1.0F);
  Bench bench;
  const Tensor x = bench.input({kCount}, ones), state = bench.input({4}, std::vector<uint32_t>{1, 2, 3, 4});
  const Tensor other_state = bench.input({4}, std::vector<uint32_t>{1, 2, 4, 4});
  const Tensor one = bench.output({kCount}), two = bench.output({kCount}), three = bench.output({kCount});
  bench.run([&](Ops& ops) {
    dropout_forward(ops, one, x, {}, state, 0, kRate);
    dropout_forward(ops, two, x, {}, state, 1, kRate);
    dropout_forward(ops, three, x, {}, other_state, 0, kRate);
  });
  const auto a = bench.read(one), b = bench.read(two), c = bench.read(three);
  // Binomial counts within five standard deviations: kept elements, and pairs of masks that agree.
  const auto expect_share = [&](double share, const std::function<bool(size_t)>& holds, const char* what) {
    double count = 0;
    for (size_t i = 0; i < kCount; ++i) count += holds(i);
    EXPECT_NEAR(count, share * kCount, 5 * std::sqrt(kCount * share * (1 - share))) << what;
  };
  const double agree = kRate * kRate + (1 - kRate) * (1 - kRate);
  expect_share(1 - kRate, [&](size_t i) { return a[i] != 0; }, "kept");
  expect_share(agree, [&](size_t i) { return (a[i] != 0) == (b[i] != 0); }, "streams");
  expect_share(agree, [&](size_t i) { return (a[i] != 0) == (c[i] != 0); }, "states");
  expect_share(agree, [&](size_t i) { return (a[i] != 0) == (a[(i + kCount / 4 + 1) % kCount] != 0); }, "words of a block");
}

// Test vectors of the authors' library (Random123, kat_vectors, philox4x32 10).
TEST(DropoutReference, Philox_GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}),
            (std::array<uint32_t, 4>{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(DropoutReference, Backward_AgreesWithFiniteDifferences) {
  const reference::Dropout dropout{{5, 6, 7, 8}, 9, 0.4};
  const Doubles x = widen(random_values(23, 1)), d_y = widen(random_values(23, 2));
  reference::expect_gradient([&](const Doubles& v) { return reference::dot(d_y, dropout.apply(v)); }, x, dropout.apply(d_y), "d_x");
}

using RowsCols = std::array<uint32_t, 2>;
class BiasBackward : public testing::TestWithParam<RowsCols> {};

TEST_P(BiasBackward, ColumnSums_MatchReferenceAndRerunToTheBit) {
  const auto [rows, cols] = GetParam();
  const auto values = random_values(uint64_t{rows} * cols, 5), old = random_values(cols, 6);
  Bench bench;
  const Tensor d_y = bench.input({rows, cols}, values), d_bias = bench.output({cols}), again = bench.output({cols});
  const Tensor sum = bench.input({cols}, old), scratch = bench.output({static_cast<uint32_t>(bias_scratch_floats(rows, cols))});
  bench.run([&](Ops& ops) {
    bias_backward(ops, d_bias, scratch, d_y, Into::overwrite);
    bias_backward(ops, sum, scratch, d_y, Into::accumulate);
    bias_backward(ops, again, scratch, d_y, Into::overwrite);
  });
  const RowBlocks blocks(rows);
  const reference::ColumnSum expected(widen(values), cols);
  // Through one block's additions, then the blocks'; one more for the previous value.
  const Doubles bound = expected.bound(blocks.rows_per_block + blocks.count);
  Doubles value = expected.value, sum_bound(cols);
  for (uint32_t i = 0; i < cols; ++i) {
    value[i] += static_cast<double>(old[i]);
    sum_bound[i] = 1.01 * (bound[i] + kEpsilon * std::abs(value[i]));
  }
  expect_close(bench.read(d_bias), expected.value, bound, "d_bias");
  expect_close(bench.read(sum), value, sum_bound, "accumulated d_bias");
  expect_same_bits(bench.read(again), bench.read(d_bias), "d_bias again");
}

INSTANTIATE_TEST_SUITE_P(Shapes, BiasBackward,
                         testing::Values(RowsCols{1, 1}, RowsCols{3, 5}, RowsCols{17, 8}, RowsCols{16, 9}, RowsCols{97, 31}, RowsCols{257, 65},
                                         RowsCols{1031, 3}, RowsCols{5, 1031}));

}  // namespace
}  // namespace lapilli::test
