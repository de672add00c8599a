// Matmuls and attention choose their kernels by measurement: on any device, with any class of kernels that it can run.
#include "model/matmul/matmul_tuning.h"

#include "model/attention/attention.h"
#include "model/attention/attention_tuning.h"
#include "model/loss/logits_tuning.h"
#include "model/matmul/matmul_record.h"
#include "shaders/embedded_shaders.h"
#include "tests/common/files.h"
#include "tests/model/matmul/matmul_support.h"

namespace lapilli::test {
namespace {

using lapilli::testing::TempDir;

// A linear layer in all three layouts, the gradient of its weight accumulated. A CPU driver has two tiles of about the same cost for it: at 16
// lanes of 64 and of 32 rows, at 8 of 4 and of 2 columns a lane.
struct Layer {
  Bench bench;
  Tensor x = bench.input({160, 80}, random_values(160 * 80, 1)), w = bench.input({80, 80}, random_values(80 * 80, 2));
  Tensor bias = bench.input({80}, random_values(80, 3)), y = bench.output({160, 80}), d_x = bench.output({160, 80});
  Tensor d_w = bench.input({80, 80}, random_values(80 * 80, 4));
  void run(KernelTuner* tuner) {
    bench.run([&](Ops& ops) {
      ops.tuner = tuner;
      matmul_nt(ops, y, x, w, Into::overwrite, {.bias = bias});
      matmul_nn(ops, d_x, y, w);
      matmul_tn(ops, d_w, y, x, Into::accumulate);
    });
  }
};

TEST(MatmulTuning, ChosenKernels_GiveTheSameBitsAndAreRemembered) {
  if (device().caps().kernel_class == KernelClass::cpu && !device().caps().fast_64bit_loads)
    GTEST_SKIP() << device().caps().name << " has one tile for a shape: its kernels are not those that read floats in pairs";
  const TempDir folder;
  Layer plain, tuned, again;
  plain.run(nullptr);
  Tuner tuner(device().caps(), embedded_shaders_hash(), {.file = folder / "tuning.json"});
  KernelTuner kernel_tuner(kernels(), tuner);
  tuned.run(&kernel_tuner);
  EXPECT_GE(tuner.decisions().size(), 2U);
  for (const auto& [key, record] : tuner.decisions()) {
    EXPECT_GT(record.candidates.size(), 1U) << key;
    for (const TunedCandidate& candidate : record.candidates) EXPECT_TRUE(std::isfinite(candidate.median_seconds)) << key << ": " << candidate.name;
  }
  EXPECT_TRUE(tuner.decisions().contains("matmul nt 160x80x80 f32 bias"));
  EXPECT_TRUE(tuner.decisions().contains("matmul nn 160x80x80 f32"));
  // Matmuls without split-K sum over K in ascending order with any tile.
  for (const auto& [a, b] : {std::pair(plain.y, tuned.y), std::pair(plain.d_x, tuned.d_x), std::pair(plain.d_w, tuned.d_w)})
    expect_same_bits(plain.bench.read(a), tuned.bench.read(b), "result");

  Tuner second(device().caps(), embedded_shaders_hash(), {.measure = false, .file = folder / "tuning.json"});
  KernelTuner remembering(kernels(), second);
  again.run(&remembering);
  EXPECT_EQ(second.decisions().size(), tuner.decisions().size());
  EXPECT_EQ(second.seconds_spent(), 0);
}

// A matmul as passed to the tuning, with slices that are only planned: the tuning runs in separate memory.
MatmulProblem product_of(Arena& planned, uint32_t rows, uint32_t cols, uint32_t depth) {
  const auto place = [&](Shape shape) { return reserve_tensor(planned, shape, "test"); };
  const Tensor a = place({depth, rows}), b = place({depth, cols}), c = place({rows, cols});
  return {
      .args = {.rows = rows, .cols = cols, .depth = depth, .c_stride = cols, .a_row = 1, .a_depth = rows, .b_depth = cols, .b_col = 1, .alpha = 1},
      .a = a,
      .b = b,
      .c = c,
      .addend = {},
      .cost = {.flops = 2.0 * rows * cols * depth}};
}

// The candidates of a GPU, here on any driver: tiles with and without split-K give the same result, and are measured.
TEST(MatmulTuning, TiledCandidates_TilesAndPartsAllPass) {
  const TempDir folder;
  Arena planned(device().caps());
  const Tensor workspace = reserve_tensor(planned, {1U << 18U}, "test");
  Tuner tuner(device().caps(), embedded_shaders_hash(), {.file = folder / "tuning.json"});
  KernelTuner kernel_tuner(kernels(), tuner);
  const MatmulKernel chosen =
      tune_matmul(kernel_tuner, product_of(planned, 128, 64, 2048), {.kernel_class = KernelClass::tiled}, workspace, record_matmul);
  EXPECT_EQ(chosen.kernel_class, KernelClass::tiled);
  ASSERT_EQ(tuner.decisions().size(), 1U);
  const TuningRecord& record = tuner.decisions().begin()->second;
  std::vector<std::string> names;
  for (const TunedCandidate& candidate : record.candidates) {
    names.push_back(candidate.name);
    EXPECT_TRUE(std::isfinite(candidate.median_seconds)) << candidate.name;
  }
  EXPECT_EQ(names.front(), "tiled 32x32");  // 8 workgroups: the smallest
  for (const char* wanted : {"tiled 128x128", "tiled 64x64", "tiled 64x64 in 4 parts", "tiled 128x128 in 4 parts"})
    EXPECT_NE(std::ranges::find(names, wanted), names.end()) << wanted;
}

TEST(LossTuning, KernelsOfLogits_AllPassAndAreRemembered) {
  const TempDir folder;
  std::vector<MatmulKernel> candidates{{KernelClass::tiled, 64}, {KernelClass::tiled, 32}};
  const LossShape shape{.tokens = 150, .dim = 24, .vocab = 700};
  const LossPlan plan = plan_loss({.strategy = LossStrategy::full}, shape, true);
  for (const bool again : {false, true}) {
    Tuner tuner(device().caps(), embedded_shaders_hash(), {.measure = !again, .file = folder / "tuning.json"});
    KernelTuner kernel_tuner(kernels(), tuner);
    EXPECT_EQ(tune_logits(kernel_tuner, shape, plan, candidates).kernel_class, KernelClass::tiled);
    ASSERT_TRUE(tuner.decisions().contains("loss logits 150x700x24 f32"));
    for (const TunedCandidate& candidate : tuner.decisions().begin()->second.candidates)
      EXPECT_TRUE(std::isfinite(candidate.median_seconds)) << candidate.name;
  }
}

TEST(LossTuning, WrongResults_AreFound) {
  const double bound = loss_tolerance(768, 2048, 9, Precision::f16).nll;
  EXPECT_LT(bound, 1e-3) << "half of the exponentials are 0.7 nats";
  EXPECT_NO_THROW(require_same_values({1.0F, 2.0F}, {1.0F, 2.0F + static_cast<float>(0.9 * bound)}, bound, "nll"));
  EXPECT_THROW(require_same_values({1.0F, 2.0F}, {1.0F, 2.0F + static_cast<float>(1.1 * bound)}, bound, "nll"), Error);
  EXPECT_THROW(require_same_values({std::nanf("")}, {1.0F}, bound, "nll"), Error);
  EXPECT_THROW(require_same_values({1.0F}, {std::nanf("")}, bound, "nll"), Error);
}

TEST(AttentionTuning, EveryCandidate_IsCorrectAndMeasured) {
  if (!has_coopmat_attention(device().caps(), Precision::f16, 24))
    GTEST_SKIP() << device().caps().name << " has a single attention kernel; other devices have several tile configs of cooperative matrices";
  const TempDir folder;
  Tuner tuner(device().caps(), embedded_shaders_hash(), {.file = folder / "tuning.json"});
  KernelTuner kernel_tuner(kernels(), tuner);
  const AttentionShape shape{.batch = 2, .context = 100, .heads = 4, .kv_heads = 2, .head_width = 24};
  for (const AttentionPass pass : {AttentionPass::forward, AttentionPass::backward}) {
    const AttentionKernel default_kernel = attention_kernel(device().caps(), Precision::f16, 24, pass, KernelClass::coopmat);
    const AttentionKernel chosen =
        tune_attention(kernel_tuner, shape, pass, Precision::f16, DType::f16, default_kernel, attention_forward, attention_backward);
    EXPECT_EQ(chosen.kernel_class, KernelClass::coopmat);
  }
  EXPECT_EQ(tuner.decisions().size(), 2U);
  EXPECT_TRUE(tuner.decisions().contains("attention backward B2 T100 H4 G2 E24 f16"));
  for (const auto& [key, record] : tuner.decisions())
    for (const TunedCandidate& candidate : record.candidates) EXPECT_TRUE(std::isfinite(candidate.median_seconds)) << key << ": " << candidate.name;
}

TEST(MatmulTuning, ResultOfAnotherMatmul_IsFound) {
  std::vector<float> right = random_values(1000, 1, 10.0F);
  right[999] = 8;
  std::vector<float> reordered = right, wrong = right, hole = right;
  for (float& value : reordered) value = std::nextafter(value, 20.0F);
  wrong[999] += 0.02F;
  hole[3] = std::nanf("");
  require_same_matmul(reordered, right, 768, 1, DType::f32);
  require_same_matmul(hole, hole, 768, 1, DType::f32);  // a gap between rows, never written
  require_same_matmul(wrong, right, 768, 1, DType::bf16);
  EXPECT_THROW(require_same_matmul(wrong, right, 768, 1, DType::f32), Error);
  EXPECT_THROW(require_same_matmul(hole, right, 768, 1, DType::f32), Error);
}

}  // namespace
}  // namespace lapilli::test
