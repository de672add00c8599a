// 16-bit memory: loads, rounding stores, and every kernel with a 16-bit form. Such a form computes the same as the f32
// form from the widened inputs, and rounds once: the results are compared bit for bit.

#include <bit>
#include <cmath>

#include "engine/memory/half.h"
#include "model/ops/activation.h"
#include "model/ops/column_sum.h"
#include "model/ops/elementwise.h"
#include "model/ops/norm.h"
#include "model/ops/optimizer.h"
#include "model/ops/rope.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Storage : public testing::TestWithParam<DType> {
 protected:
  const DType type = GetParam();
  // Every number of the type, and its bits.
  std::vector<float> all_values() const {
    std::vector<float> values;
    for (uint32_t bits = 0; bits < 65536; ++bits) values.push_back(widen_bits(static_cast<uint16_t>(bits), type));
    return values;
  }
  // For every two neighbours that are finite, f32 numbers around the middle between them, and f32's own edges.
  std::vector<float> between_all_values() const {
    std::vector<float> values{0.0F,      -0.0F, 1e-45F,        -1e-45F,        1e-38F,    65519.99F,  65520.0F,
                              -65520.0F, 1e6F,  3.4028235e38F, -3.4028235e38F, kInfinity, -kInfinity, std::nanf("")};
    for (uint32_t bits = 0; bits + 1 < 0x7F80; ++bits) {
      const float low = widen_bits(static_cast<uint16_t>(bits), type), high = widen_bits(static_cast<uint16_t>(bits + 1), type);
      if (!std::isfinite(high)) break;
      const float middle = low / 2 + high / 2, sign = bits % 2 == 0 ? 1.0F : -1.0F;
      for (const float value : {low, middle, std::nextafter(middle, 0.0F), std::nextafter(middle, kInfinity)}) values.push_back(sign * value);
    }
    while (values.size() % 8 != 0) values.push_back(1.0F);
    return values;
  }
};

// Tests the tests' own rounding, the reference for everything here, and the host's.
TEST_P(Storage, Reference_RoundsToTheNearerNeighbourAndTiesToEven) {
  const auto values = all_values();
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    if (std::isnan(values[bits])) EXPECT_TRUE(std::isnan(widen_bits(round_to_bits(values[bits], type), type))) << bits;
    else ASSERT_EQ(round_to_bits(values[bits], type), bits);
    const float fast = half_value(static_cast<uint16_t>(bits), type);
    ASSERT_TRUE(fast == values[bits] || (std::isnan(fast) && std::isnan(values[bits]))) << bits;
  }
  for (const float value : between_all_values()) {
    ASSERT_EQ(half_bits(value, type), round_to_bits(value, type)) << value << ", the host's fast way";
    const float result = widen_bits(round_to_bits(value, type), type);
    if (!std::isfinite(result)) continue;
    const uint16_t bits = round_to_bits(std::abs(value), type);
    const double error = std::abs(static_cast<double>(result) - static_cast<double>(value));
    for (const int step : {-1, 1}) {
      if (bits == 0 && step < 0) continue;
      const double neighbour = static_cast<double>(widen_bits(static_cast<uint16_t>(bits + step), type));
      const double other = std::abs(neighbour - std::abs(static_cast<double>(value)));
      ASSERT_TRUE(error < other || (error == other && bits % 2 == 0)) << value << " became " << result;
    }
  }
  if (type == DType::f16) {
    EXPECT_EQ(widen_bits(round_to_bits(65519.99F, type), type), 65504.0F);
    EXPECT_EQ(widen_bits(round_to_bits(65520.0F, type), type), kInfinity);
    EXPECT_EQ(widen_bits(0x0001, type), 0x1p-24F);
  }
  EXPECT_EQ(widen_bits(round_to_bits(3.4028235e38F, type), type), kInfinity);
  EXPECT_EQ(widen_bits(0x4000, type), 2.0F);
}

// A dropout with rate 0 stores its input; a sum over one row reads it. Subnormal f32 may be flushed to 0.
TEST_P(Storage, EveryNumberAndValuesBetween_RoundLikeTheReference) {
  const auto values = between_all_values(), all = all_values();
  const auto count = static_cast<uint32_t>(values.size());
  Bench bench;
  const Tensor x = bench.input({count}, values), y = bench.output({count}, type), random = bench.input({4}, std::vector<uint32_t>{1, 2, 3, 4});
  const Tensor numbers = bench.input({1, 65536}, all, type), sums = bench.output({1, 65536});
  bench.run([&](Ops& ops) {
    dropout_forward(ops, y, x, {}, random, 0, 0.0F);
    column_sum(ops, sums, numbers, 1, Into::overwrite);
  });
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  const auto kept = bench.read(y), read = bench.read(sums);
  for (uint32_t i = 0; i < count; ++i) {
    const float expected = stored({values[i]}, type)[0];
    ASSERT_TRUE(same(kept[i], expected) || (std::abs(values[i]) < 0x1p-126F && kept[i] == 0)) << values[i] << " stored as " << kept[i];
  }
  for (uint32_t i = 0; i < 65536; ++i)
    ASSERT_TRUE(same(read[i], all[i]) || (std::abs(all[i]) < 0x1p-126F && read[i] == 0)) << all[i] << " read as " << read[i];
}

// Values of the type, and the same numbers as f32.
struct Pair {
  Tensor f32, half;
};
Pair place(Bench& bench, Shape shape, const std::vector<float>& values, DType type) {
  return {bench.input(shape, stored(values, type)), bench.input(shape, values, type)};
}
Pair outputs(Bench& bench, Shape shape, DType type) { return {bench.output(shape), bench.output(shape, type)}; }
void expect_rounded(const Bench& bench, const Pair& pair, const char* what) {
  expect_same_bits(bench.read(pair.half), stored(bench.read(pair.f32), pair.half.dtype()), what);
}

constexpr uint32_t kRows = 5, kCols = 46;  // no multiple of a workgroup

TEST_P(Storage, Gelu_RoundsTheF32Result) {
  Bench bench;
  const Pair x = place(bench, {kRows, kCols}, random_values(kRows * kCols, 1, 6), type), y = outputs(bench, {kRows, kCols}, type);
  const Tensor wide = bench.output({kRows, kCols});
  bench.run([&](Ops& ops) {
    gelu_forward(ops, y.f32, x.f32);
    gelu_forward(ops, y.half, x.half);
    gelu_forward(ops, wide, x.half);
  });
  expect_rounded(bench, y, "y");
  expect_same_bits(bench.read(wide), bench.read(y.f32), "y in f32");
}

TEST_P(Storage, Swiglu_RoundsTheF32Result) {
  for (const uint32_t subgroups : {0U, 4U}) {
    Bench bench;
    const Pair gate_up = place(bench, {kRows, 2 * kCols}, random_values(2 * kRows * kCols, 3, 4), type), y = outputs(bench, {kRows, kCols}, type);
    bench.run([&](Ops& ops) {
      ops.row_subgroups = subgroups;
      swiglu_forward(ops, y.f32, gate_up.f32);
      swiglu_forward(ops, y.half, gate_up.half);
    });
    expect_rounded(bench, y, "y");
  }
}

TEST_P(Storage, Norm_RoundsYAndReads16BitD_y) {
  for (const bool centred : {false, true}) {
    Bench bench;
    const auto x = bench.input({kRows, kCols}, random_values(kRows * kCols, 5)), weight = bench.input({kCols}, random_values(kCols, 6));
    const auto bias = bench.input({kCols}, random_values(kCols, 7));
    const Tensor mean = bench.output({kRows}), rstd = bench.output({kRows}),
                 scratch = bench.output({static_cast<uint32_t>(norm_scratch_floats(kRows, kCols))});
    const Pair y = outputs(bench, {kRows, kCols}, type), d_y = place(bench, {kRows, kCols}, random_values(kRows * kCols, 8), type);
    const Tensor d_x[] = {bench.output({kRows, kCols}), bench.output({kRows, kCols})}, d_w[] = {bench.output({kCols}), bench.output({kCols})};
    const Tensor d_b[] = {bench.output({kCols}), bench.output({kCols})};
    bench.run([&](Ops& ops) {
      for (const int half : {0, 1}) {
        const Tensor out = half ? y.half : y.f32;
        const ConstTensor in = half ? d_y.half : d_y.f32;
        if (centred) {
          layernorm_forward(ops, out, mean, rstd, x, weight, bias, 1e-5F);
          layernorm_backward(ops, d_x[half], d_w[half], d_b[half], scratch, in, x, mean, rstd, weight, Into::overwrite, Into::overwrite);
        } else {
          rmsnorm_forward(ops, out, rstd, x, weight, 1e-5F);
          rmsnorm_backward(ops, d_x[half], d_w[half], scratch, in, x, rstd, weight, Into::overwrite, Into::overwrite);
        }
      }
    });
    expect_rounded(bench, y, "y");
    expect_same_bits(bench.read(d_x[1]), bench.read(d_x[0]), "d_x");
    expect_same_bits(bench.read(d_w[1]), bench.read(d_w[0]), "d_weight");
    if (centred) expect_same_bits(bench.read(d_b[1]), bench.read(d_b[0]), "d_bias");
  }
}

TEST_P(Storage, Rope_RoundsTheF32Result) {
  constexpr uint32_t kHeads = 3, kKvHeads = 1, kWidth = 12, kContext = 4, kTokens = 8, kQkv = (kHeads + 2 * kKvHeads) * kWidth;
  Bench bench;
  const Pair qkv = place(bench, {kTokens, kQkv}, random_values(kTokens * kQkv, 9), type);
  const Rotary rotary{.cos_sin_table = bench.input({kContext, kWidth}, make_cos_sin_table(kContext, kWidth, 10000)),
                      .context = kContext,
                      .rotary_heads = kHeads + kKvHeads};
  bench.run([&](Ops& ops) {
    for (const Tensor& tensor : {qkv.f32, qkv.half}) rope(ops, tensor, rotary, RopeDirection::backward);
  });
  expect_rounded(bench, qkv, "qkv");
}

TEST_P(Storage, Dropout_DropsTheSameAndRounds) {
  for (const uint32_t count : {8U, 4104U}) {
    Bench bench;
    const Tensor x = bench.input({count}, random_values(count, 10)), addend = bench.input({count}, random_values(count, 11));
    const Tensor random = bench.input({4}, std::vector<uint32_t>{5, 6, 7, 8});
    const Pair y = outputs(bench, {count}, type), d_x = outputs(bench, {count}, type);
    bench.run([&](Ops& ops) {
      for (const Tensor& tensor : {y.f32, y.half}) dropout_forward(ops, tensor, x, addend, random, 3, 0.3F);
      for (const Tensor& tensor : {d_x.f32, d_x.half}) dropout_backward(ops, tensor, x, random, 3, 0.3F);
    });
    expect_rounded(bench, y, "y");
    expect_rounded(bench, d_x, "d_x");
  }
}

TEST_P(Storage, BiasGradient_IsThatOfTheWidenedValues) {
  Bench bench;
  const Pair d_y = place(bench, {97, kCols}, random_values(97 * kCols, 12), type);
  const Tensor scratch = bench.output({static_cast<uint32_t>(bias_scratch_floats(97, kCols))}),
               sums[] = {bench.output({kCols}), bench.output({kCols})};
  bench.run([&](Ops& ops) {
    bias_backward(ops, sums[0], scratch, d_y.f32, Into::overwrite);
    bias_backward(ops, sums[1], scratch, d_y.half, Into::overwrite);
  });
  expect_same_bits(bench.read(sums[1]), bench.read(sums[0]), "d_bias");
}

// Also in slices; and unchanged like the rest when the norm is not finite.
TEST_P(Storage, AdamW_CopyIsTheRoundedParameter) {
  constexpr uint32_t kCount = 1030;
  Bench bench;
  const auto input = [&](uint32_t seed, float scale) { return bench.input({kCount}, random_values(kCount, seed, scale)); };
  const Tensor g = input(13, 1), step = bench.input({4}, std::vector<float>{0.01F, 10, 1000, 1}), fine = bench.input({2}, std::vector<float>{1, 1});
  const Tensor broken = bench.input({2}, std::vector<float>{kInfinity, 1}), before = bench.input({kCount}, random_values(kCount, 17), type);
  const Tensor p[] = {input(14, 1), input(14, 1)}, m[] = {input(15, 0.1F), input(15, 0.1F)},
               v[] = {bench.input({kCount}, std::vector<float>(kCount)), bench.input({kCount}, std::vector<float>(kCount))};
  const Tensor copy = bench.output({kCount}, type);
  bench.run([&](Ops& ops) {
    adamw(ops, p[0], m[0], v[0], {}, g, step, fine, {.weight_decay = 0.1});
    adamw(ops, p[1], m[1], v[1], copy, g, step, fine, {.weight_decay = 0.1}, 500);
    adamw(ops, p[1], m[1], v[1], before, g, step, broken, {.weight_decay = 0.1});
  });
  expect_same_bits(bench.read(p[1]), bench.read(p[0]), "p");
  expect_same_bits(bench.read(m[1]), bench.read(m[0]), "m");
  expect_same_bits(bench.read(v[1]), bench.read(v[0]), "v");
  expect_same_bits(bench.read(copy), stored(bench.read(p[0]), type), "copy");
  expect_same_bits(bench.read(before), stored(random_values(kCount, 17), type), "the copy of a skipped step");
}

INSTANTIATE_TEST_SUITE_P(Types, Storage, testing::Values(DType::f16, DType::bf16),
                         [](const auto& test) { return std::string(test.param == DType::f16 ? "f16" : "bf16"); });

}  // namespace
}  // namespace lapilli::test
