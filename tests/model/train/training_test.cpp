// The whole training step: properties that are independent of the kernels.

#include <cmath>

#include "engine/base/philox.h"
#include "model/run/trainer_report.h"
#include "model/train/training_memory.h"
#include "shaders/embedded_shaders.h"
#include "tests/model/train/training_session.h"

namespace lapilli::test {
namespace {

TEST(Training, TwoRuns_AreBitwiseEqual) {
  Config config = small_config();
  config.model.dropout = 0.2F;
  Session a(config), b(config);
  for (uint64_t s = 1; s <= 10; ++s) EXPECT_EQ(a.step(s).sums.nll, b.step(s).sums.nll) << s;
  expect_same_bits(a.memory.step->read_values(), b.memory.step->read_values(), "weights");
  EXPECT_EQ(device().validation_messages(), 0U);
}

TEST(Baselines, AreSortedByValue_SoThatEveryComparisonIsTrue) {
  EXPECT_EQ(describe_baselines({{"ln|V|", 5.781}, {"unigram", 3.337}, {"bigram", 2.484}}), "ln|V| 5.781 > unigram 3.337 > bigram 2.484");
  EXPECT_EQ(describe_baselines({{"ln|V|", 5.781}, {"unigram", 1.792}, {"bigram", 3.966}}), "ln|V| 5.781 > bigram 3.966 > unigram 1.792");
}

// Steps of the quick recording, then of the tuned one, which is compiled during them.
TEST(Training, QuickStart_GivesTheSameBits) {
  Session plain(small_config()), quick(small_config(), /*record=*/false);
  KernelLibrary library(device(), embedded_shaders());
  library.defer();
  quick.memory.step->record(library, false);
  quick.memory.evaluation->record(library, *quick.memory.weights);
  library.stop_deferring();
  quick.memory.step->record_quick(library);
  quick.memory.evaluation->record_quick(library, *quick.memory.weights);
  quick.load();
  const Batch batch = make_batch(plain.config, 77);
  for (uint64_t s = 1; s <= 6; ++s) {
    if (s == 4) library.wait();
    EXPECT_EQ(plain.step(s).sums.nll, quick.step(s).sums.nll) << s;
    EXPECT_EQ(plain.memory.evaluation->run_batch(batch), quick.memory.evaluation->run_batch(batch)) << s;
    // If matmuls have only one kernel, both recordings are the same.
    if (device().caps().fast_64bit_loads) {
      EXPECT_EQ(quick.memory.step->program().is_compiled(), s >= 4) << s;
    }
  }
  expect_same_bits(plain.memory.step->read_values(), quick.memory.step->read_values(), "weights");
  quick.memory.step.reset();  // programs are destroyed before the library that compiled their kernels
  quick.memory.evaluation.reset();
}

TEST(Training, LossFalls_AndSteadyStateAllocatesNothing) {
  Session session(small_config());
  const double first = session.step(1).loss();
  EXPECT_NEAR(first, std::log(61), 0.1);
  const uint64_t allocations = device().allocation_count();
  double last = 0;
  for (uint64_t s = 2; s <= 150; ++s) last = session.step(s).loss();
  EXPECT_LT(last, 0.5 * first);
  EXPECT_EQ(device().allocation_count(), allocations);
}

TEST(Training, Strategies_AgreeOver200Steps) {
  Config chunked = small_config(), in_ranges = small_config();
  chunked.loss = {.strategy = LossStrategy::vocab, .chunk = 17, .memory_mib = 0};
  in_ranges.loss = {.strategy = LossStrategy::tokens, .chunk = 7};
  Session full(small_config()), vocab(chunked), tokens(in_ranges);
  for (uint64_t s = 1; s <= 200; ++s) {
    const double loss = full.step(s).loss();
    ASSERT_NEAR(loss, vocab.step(s).loss(), 1e-4) << "step " << s;
    ASSERT_NEAR(loss, tokens.step(s).loss(), 1e-4) << "step " << s;
  }
}

TEST(Training, NoTargets_LeavesWeightsAndMomentsAlone) {
  Session session(small_config());
  session.step(1);
  const auto values = session.memory.step->read_values(), moments = session.memory.step->read_first_moment();
  std::vector<Batch> empty;
  for (uint32_t m = 0; m < 2; ++m) {
    empty.push_back(make_batch(session.config, m));
    std::ranges::fill(empty.back().weights, 0.0F);
  }
  const StepResult result = session.memory.step->run(empty, 2, 1e-3, 9);
  EXPECT_EQ(result.sums.rows, 0);
  EXPECT_EQ(result.skipped, Skipped::no_targets);
  expect_same_bits(values, session.memory.step->read_values(), "weights");
  expect_same_bits(moments, session.memory.step->read_first_moment(), "first moment");
}

TEST(Training, NonFiniteLoss_NamesTheRowAndLeavesTheWeights) {
  Session session(small_config());
  auto values = session.memory.step->read_values();
  const uint64_t wte = session.table["wte.weight"].offset;
  const Batch batch = make_batch(session.config, 2);
  values[wte + batch.inputs[0] * 24] = std::nanf("");
  session.memory.weights->load(device(), values);
  const StepResult result = session.step(1);
  EXPECT_EQ(result.skipped, Skipped::not_finite);
  EXPECT_TRUE(result.not_finite.starts_with("the loss of row")) << result.not_finite;
  expect_same_bits(values, session.memory.step->read_values(), "weights");
}

// Adam's bias correction counts updates: a batch without targets between two others has no effect.
TEST(Training, SkippedStep_LeavesTheNextUpdateAsItWas) {
  Session with(small_config()), without(small_config());
  std::vector<Batch> empty;
  for (uint32_t m = 0; m < 2; ++m) {
    empty.push_back(make_batch(with.config, m));
    std::ranges::fill(empty.back().weights, 0.0F);
  }
  const double lr = with.config.optim.lr;
  with.step(1, 1);
  with.memory.step->run(empty, 2, lr, 9);
  with.step(3, 2);
  without.step(1, 1);
  without.step(2, 2);
  expect_same_bits(with.memory.step->read_values(), without.memory.step->read_values(), "weights");
}

TEST(Training, TargetBeyondVocabulary_IsAnError) {
  Session session(small_config());
  std::vector<Batch> batches{make_batch(session.config, 1), make_batch(session.config, 2)};
  batches[1].weights[5] = 1;
  batches[1].targets[5] = 61;
  try {
    session.memory.step->run(batches, 1, 1e-3, 9);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("row 5 is 61"), std::string::npos) << error.what();
  }
}

TEST(Training, RecomputedActivations_GiveTheSameBits) {
  Config config = small_config();
  config.model.norm = NormKind::layernorm;
  config.model.mlp = MlpKind::gelu;
  config.model.bias = true;
  Config recomputing = config;
  recomputing.train.recompute = true;
  Session kept(config), recomputed(recomputing);
  for (uint64_t s = 1; s <= 3; ++s) EXPECT_EQ(kept.step(s).sums.nll, recomputed.step(s).sums.nll);
  expect_same_bits(kept.memory.step->read_values(), recomputed.memory.step->read_values(), "weights");
  EXPECT_LT(recomputed.memory.scratch.planned_bytes(), kept.memory.scratch.planned_bytes());
}

TEST(Plan, LargestFittingBatch_FitsAndOneMoreDoesNot) {
  Config config = small_config();
  config.model.ffn_dim = 4096;
  config.data.batch = 60000;
  const uint32_t batch = largest_fitting_batch(device(), config);
  ASSERT_GT(batch, 0U);
  ASSERT_LT(batch, 60000U);
  const auto fits = [&](uint32_t sequences) {
    config.data.batch = sequences;
    try {
      const RunPlan plan = plan_run(device(), config);
      return plan.memory_bytes <= plan.available_bytes;
    } catch (const Error&) {
      return false;
    }
  };
  EXPECT_TRUE(fits(batch));
  EXPECT_FALSE(fits(batch + 1));
}

TEST(Generation, ContextGrowsBeyondAPass_AndIsRepeatable) {
  Session session(small_config());
  for (uint64_t s = 1; s <= 100; ++s) session.step(s);
  const std::vector<uint32_t> prompt{5};
  const auto greedy = session.memory.generator->generate(prompt, {.tokens = 40, .temperature = 0});
  ASSERT_EQ(greedy.size(), 40U);
  EXPECT_EQ(greedy[0], (5U * 7 + 3) % 61);  // the fixed rule of the text
  const SamplingOptions options{.tokens = 40, .temperature = 1.0, .top_k = 10, .top_p = 0.9, .seed = 3};
  EXPECT_EQ(session.memory.generator->generate(prompt, options), session.memory.generator->generate(prompt, options));
}

TEST(Generation, PromptLongerThanTheContext_FirstTokenIsPredictedFromTheWholeContext) {
  Session session(small_config());
  Generator& generator = *session.memory.generator;
  const uint32_t context = session.config.model.context;
  std::vector<uint32_t> prompt;
  for (uint32_t i = 0; i < context + 5; ++i) prompt.push_back((i * i + 3) % session.config.model.vocab_size);
  const auto from_last = [&](uint32_t count) { return generator.next_logits(std::span(prompt).last(count)); };
  const std::vector<float> whole = from_last(context), half = from_last(context / 2);
  uint32_t half_differs = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const SamplingOptions options{.tokens = 1, .temperature = 0.05, .seed = seed};
    const double uniform = philox_uniform(seed, 0, 0, 0);
    EXPECT_EQ(generator.generate(prompt, options).at(0), sample_token(whole, options, uniform));
    half_differs += sample_token(half, options, uniform) != sample_token(whole, options, uniform) ? 1 : 0;
  }
  EXPECT_GT(half_differs, 0U) << "the test cannot tell half a context from a whole one";
}

TEST(Sampling, TopKTopPAndTemperature_SelectTheExpectedTokens) {
  const std::vector<float> logits{0, std::log(2.0F), std::log(4.0F), std::log(1.0F)};  // p = 1/8 2/8 4/8 1/8
  EXPECT_EQ(sample_token(logits, {.temperature = 0}, 0.99), 2U);
  EXPECT_EQ(sample_token(logits, {.temperature = 1}, 0.49), 2U);
  EXPECT_EQ(sample_token(logits, {.temperature = 1}, 0.51), 1U);
  EXPECT_EQ(sample_token(logits, {.temperature = 1}, 0.99), 3U);
  EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_k = 1}, 0.99), 2U);
  EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_p = 0.6}, 0.99), 1U);  // 4/8 + 2/8 reaches 0.6
  EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_p = 0.5}, 0.99), 2U);
}

}  // namespace
}  // namespace lapilli::test
