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
    EXPECT_EQ(generator.generate(prompt, options).at(0), sample_token(whole, prompt, options, uniform));
    half_differs += sample_token(half, prompt, options, uniform) != sample_token(whole, prompt, options, uniform) ? 1 : 0;
  }
  EXPECT_GT(half_differs, 0U) << "the test cannot tell half a context from a whole one";
}

// By the cache and in one pass, for both families with all that differs between them. Both are sums of f32 products, in different orders: they
// differ by at most a rounding for each term of the sums on the way, of the largest logit.
TEST(Generation, CachedLogits_AreThoseOfAPassOverTheWholeText) {
  for (const uint32_t variant : {0U, 1U, 2U, 3U}) {
    Config config = small_config();
    if (variant < 2) {
      config.model.arch = Arch::gpt2;
      apply_preset(config.model);
      config.model.kv_heads = config.model.heads;
    }
    if (variant == 1) config.model.bias = false;
    if (variant == 3) config.model.bias = true;
    if (variant == 3) config.model.head_size = 10;
    if (variant % 2 == 1) config.loss.softcap = 5;
    if (variant % 2 == 1) config.loss.temperature = 2;
    Session session(config);
    for (uint64_t s = 1; s <= 10; ++s) session.step(s);
    Generator& generator = *session.memory.generator;
    const ModelConfig& m = config.model;
    const double terms = m.layers * (3.0 * m.dim + m.heads * m.head_width() + m.ffn_dim + 2.0 * m.context) + 2.0 * m.dim;
    std::vector<uint32_t> text;
    for (uint32_t i = 0; i < m.context; ++i) text.push_back((i * i + 3) % m.vocab_size);
    std::vector<float> cached = generator.next_logits(std::span(text).first(3));
    for (uint32_t length = 4; length <= m.context; ++length) {
      cached = generator.next_logits_after(text[length - 1]);
      if (length % 5 != 0 && length != m.context) continue;
      const std::vector<float> whole = generator.next_logits(std::span(text).first(length));
      float most = 0, largest = 0;
      for (size_t i = 0; i < whole.size(); ++i) {
        most = std::max(most, std::abs(whole[i] - cached[i]));
        largest = std::max(largest, std::abs(whole[i]));
      }
      EXPECT_LE(most, terms * 0x1p-24 * largest) << "variant " << variant << ", " << length << " tokens";
    }
  }
}

// What a conversation needs: the text that the cache has already is not read again, and the answer is the same.
TEST(Generation, CacheKeptBetweenCalls_GivesTheSameTokens) {
  Session session(small_config());
  for (uint64_t s = 1; s <= 60; ++s) session.step(s);
  Generator& generator = *session.memory.generator;
  const SamplingOptions options{.tokens = 6, .temperature = 0};
  std::vector<uint32_t> text{5, 38, 25};
  for (const uint32_t token : generator.generate(text, options)) text.push_back(token);
  text.push_back(9);
  const std::vector<uint32_t> kept = generator.generate(text, options, {}, std::nullopt, Generator::Cache::kept);
  EXPECT_EQ(kept, generator.generate(text, options));
  // A text that only begins like that in the cache.
  text.resize(5);
  text[4] = (text[4] + 1) % 61;
  EXPECT_EQ(generator.generate(text, options, {}, std::nullopt, Generator::Cache::kept), generator.generate(text, options));
}

}  // namespace
}  // namespace lapilli::test
