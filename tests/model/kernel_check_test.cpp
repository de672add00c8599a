// `lapilli check` finds kernels that are wrong, and ones that write where they must not.
#include "engine/tuning/tuner.h"
#include "model/ops/elementwise.h"
#include "shaders/embedded_shaders.h"
#include "shaders/ops/args.h"
#include "tests/common/files.h"
#include "tests/common/support.h"
#include "tools/check/check_memory.h"

namespace lapilli::test {
namespace {

// The kernels of the program, but `wrong` has the code of `instead`, which has the same arguments.
std::vector<EmbeddedShader> shaders_with(std::string_view wrong, std::string_view instead) {
  const auto all = embedded_shaders();
  std::vector<EmbeddedShader> changed(all.begin(), all.end());
  for (EmbeddedShader& shader : changed)
    if (shader.name == wrong) shader.words = find_shader(all, instead)->words;
  return changed;
}

std::vector<KernelCheck> only(const std::vector<std::string>& kernels) {
  std::vector<KernelCheck> some = all_checks(device().caps(), /*quick=*/true);
  std::erase_if(some, [&](const KernelCheck& check) { return std::ranges::find(kernels, check.kernel) == kernels.end(); });
  return some;
}

TEST(KernelCheck, RightKernels_AllRight) {
  const std::vector<KernelCheck> checks = only({"rmsnorm forward", "gelu", "add", "embedding forward"});
  const std::vector<KernelResult> results = run_checks(kernels(), checks);
  ASSERT_GE(results.size(), 4U);
  for (const KernelResult& result : results) {
    EXPECT_EQ(result.message, "") << result.kernel;
    EXPECT_EQ(result.cases, 1U);
    EXPECT_LE(result.worst, 1);
  }
  EXPECT_TRUE(wrong_kernels(checks, results).empty());
  EXPECT_TRUE(verdict(device().caps(), checks, results).ends_with(fmt::format("{} kernel variants, all right", results.size())));
}

// GELU's code in place of SwiGLU's: exactly that kernel is named, remembered, and training refuses.
TEST(KernelCheck, WrongCodeOfOneKernel_NamesItAndTrainingRefuses) {
  const lapilli::testing::TempDir folder;
  const std::filesystem::path file = folder / "tuning.json";
  Device own({.validation = false});
  const std::vector<EmbeddedShader> shaders = shaders_with("swiglu_forward", "gelu_forward");
  KernelLibrary library(own, shaders);
  const std::string hash = hash_shaders(shaders);
  const std::vector<KernelCheck> checks = only({"rmsnorm forward", "gelu", "swiglu", "embedding forward"});
  require_right_kernels(own.caps(), hash, Precision::f32, file);  // nothing is known yet
  const std::vector<KernelResult> results = run_and_remember(library, hash, checks, false, file);
  for (const KernelResult& result : results) EXPECT_EQ(result.ok(), result.kernel != "swiglu") << result.kernel << ": " << result.message;
  const std::string says = verdict(own.caps(), checks, results);
  const auto wrong = std::ranges::count(results, false, &KernelResult::ok);  // f32 memory, and f16 where the device has it
  EXPECT_NE(says.find(fmt::format("{} of {} kernel variants are wrong; training refuses, there are no others: swiglu (f32 memory)", wrong,
                                  checks.size())),
            std::string::npos)
      << says;
  EXPECT_NE(to_table(results).find("WRONG"), std::string::npos);
  try {
    require_right_kernels(own.caps(), hash, Precision::f32, file);
    ADD_FAILURE() << "training does not refuse";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("the kernel swiglu (f32 memory) is wrong on"), std::string::npos) << error.what();
  }
  require_right_kernels(own.caps(), "other kernels", Precision::f32, file);  // valid for one set of kernels
}

// Tiles are candidates: tuning takes another, whatever was measured before.
TEST(KernelCheck, WrongCandidate_TuningTakesAnother) {
  const lapilli::testing::TempDir folder;
  const std::filesystem::path path = folder / "tuning.json";
  const DeviceCaps& caps = device().caps();
  const std::vector<KernelCheck> checks{{.kernel = "matmul nt", .variant = "f32 a", .tuning_key = "matmul nt f32", .candidate = "tiled 64x64"},
                                        {.kernel = "matmul nt", .variant = "f32 b", .tuning_key = "matmul nt f32", .candidate = "tiled 32x32"}};
  const auto wrong = wrong_kernels(checks, {{.kernel = "matmul nt", .message = "[3] = 1, expected 2"}, {.kernel = "matmul nt"}});
  ASSERT_EQ(wrong.size(), 1U);
  EXPECT_FALSE(wrong[0].essential);
  EXPECT_TRUE(is_wrong(wrong, "matmul nt 64x64x64 f32 bias gelu, kept", "tiled 64x64 in 4 parts"));
  EXPECT_FALSE(is_wrong(wrong, "matmul nt 64x64x64 f32", "tiled 32x32"));
  EXPECT_FALSE(is_wrong(wrong, "matmul nn 64x64x64 f32", "tiled 64x64"));
  EXPECT_FALSE(is_wrong(wrong, "matmul nt 64x64x64 f16", "tiled 64x64"));
  // Nothing is left when both are wrong.
  for (const WrongKernel& kernel : wrong_kernels(checks, {{.message = "wrong"}, {.message = "wrong"}})) EXPECT_TRUE(kernel.essential);

  TuningFile(caps, "kernels", path).add({{"matmul nt 1x1x1 f32", {.chosen = 0, .candidates = {{"tiled 64x64", 1}, {"tiled 32x32", 2}}}}});
  const auto choose = [&] {
    Tuner tuner(caps, "kernels", {.measure = false, .file = path});
    return tuner.choose("matmul nt 1x1x1 f32", {"tiled 64x64", "tiled 32x32"}, {}).index;
  };
  EXPECT_EQ(choose(), 0U);
  TuningFile(caps, "kernels", path).set_wrong(wrong, false);
  EXPECT_EQ(choose(), 1U);
  TuningFile(caps, "kernels", path).set_wrong({}, true);
  EXPECT_EQ(choose(), 1U) << "a quick check that found nothing forgets nothing";
  TuningFile(caps, "kernels", path).set_wrong({}, false);
  EXPECT_EQ(choose(), 0U);
}

// ---- kernels that write where they must not ----

// As the arguments of shaders/ops/add.comp, but y is declared as an input.
struct LyingArgs {
  In<float> y;
  In<float> a, b;
  uint32_t count;
};

TEST(KernelBench, KernelWritesThroughAnInput_IsReported) {
  KernelBench bench(kernels());
  const Tensor y = bench.input({5}, std::vector<float>(5, 1.0F)), a = bench.input({5}, std::vector<float>(5, 2.0F));
  bench.record([&](Ops& ops) { dispatch_elements(ops, "add", LyingArgs{.y = y, .a = a, .b = a, .count = 5}, 5, {}); });
  EXPECT_EQ(bench.run(), "a kernel changed byte 0 of the input [5], which it does not declare to write");
}

TEST(KernelBench, KernelWritesBeyondItsOutput_IsReported) {
  KernelBench bench(kernels());
  const Tensor a = bench.input({8}, std::vector<float>(8, 2.0F)), y = bench.output({5});
  bench.record([&](Ops& ops) {
    const ConstTensor wide = a;
    dispatch_elements(ops, "add", args::AddArgs{.y = y, .a = wide, .b = wide, .count = 8}, 8, {});
  });
  EXPECT_EQ(bench.run(), "a kernel changed memory 0 bytes behind the output [5]");
}

TEST(KernelBench, KernelKeepsToItsOutput_NothingIsReported) {
  KernelBench bench(kernels());
  const Tensor a = bench.input({8}, std::vector<float>(8, 2.0F)), y = bench.output({8});
  bench.record([&](Ops& ops) { add(ops, y, a, a); });
  EXPECT_EQ(bench.run(), "");
}

}  // namespace
}  // namespace lapilli::test
