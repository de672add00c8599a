#include "model/run/trainer_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "model/transformer/flops.h"
#include "tokenizer/data/ngram.h"

namespace lapilli {

namespace {

// A larger relative difference from the expected loss indicates an error: a mis-scaled initialisation, a wrong
// vocabulary, a broken mask.
constexpr double kInitTolerance = 0.02;

// Tokens for the initial loss: few enough to cost little compared with the training steps. Even the minimum gives the
// mean to a few thousandths of a nat, because random weights predict nearly the same everywhere.
constexpr uint64_t kFewestTokens = 2048, kMostTokens = 8192;
constexpr double kInitFlops = 10e9;
uint64_t init_tokens(double forward_flops_per_token) {
  return static_cast<uint64_t>(std::clamp(kInitFlops / forward_flops_per_token, static_cast<double>(kFewestTokens),
                                          static_cast<double>(kMostTokens)));
}

}  // namespace

std::string describe_baselines(std::vector<std::pair<std::string, double>> baselines) {
  std::ranges::stable_sort(baselines, std::ranges::greater(), &std::pair<std::string, double>::second);
  std::string text;
  for (const auto& [name, nats] : baselines) text += fmt::format("{}{} {:.3f}", text.empty() ? "" : " > ", name, nats);
  return text;
}

// Logits of unit-RMS features against N(0, s^2) rows have variance s2 = D s^2, and E ln sum exp of V of them is about
// ln V + s2/2.
double expected_initial_loss(const ModelConfig& config, const LossOptions& loss) {
  const double std = ModelConfig::kInitStd / loss.temperature;
  return std::log(config.vocab_size) + config.dim * std * std / 2;
}

void report_init(RunLog& log, const Config& config, const ParameterTable& table, EvaluationPass& evaluation, const TokenShard& train,
                 const TokenShard& val) {
  log.progress("init        evaluating the model before training");
  const EvaluationResult initial = evaluation.run(val, init_tokens(flops_per_token(config.model, table) / 3));
  const double ln_vocab = std::log(config.model.vocab_size), expected = expected_initial_loss(config.model, config.loss);
  const double gap = initial.loss - expected;
  const NgramReference ngram = ngram_reference(train, val);
  nlohmann::ordered_json event{{"event", "init"},
                               {"step", 0},
                               {"vocab_size", config.model.vocab_size},
                               {"ln_vocab", ln_vocab},
                               {"expected_loss", expected},
                               {"loss", initial.loss},
                               {"tokens", initial.tokens},
                               {"gap", gap},
                               {"unigram_entropy", ngram.unigram_entropy},
                               {"bigram_cross_entropy", ngram.bigram_cross_entropy}};
  std::vector<std::pair<std::string, double>> baselines{
      {"ln|V|", ln_vocab}, {"unigram", ngram.unigram_entropy}, {"bigram", ngram.bigram_cross_entropy}};
  if (const double nats = val.source_entropy_nats(); std::isfinite(nats)) {
    const double per_token = nats / static_cast<double>(val.token_count());
    event["source_entropy"] = per_token;
    baselines.emplace_back("the source's entropy", per_token);
  }
  log.event(event);
  log.line(fmt::format("init        loss {:.4f}; expected ln|V| + s2/2 = {:.4f} + {:.4f} = {:.4f}; gap {:+.4f} ({:+.2f} %)", initial.loss, ln_vocab,
                       expected - ln_vocab, expected, gap, 100 * gap / expected));
  log.line("baselines   " + describe_baselines(std::move(baselines)) + "   (nats per token of the validation text)");
  if (std::abs(gap) > kInitTolerance * expected)
    log
        .warn(fmt::format("the loss before training, {:.4f}, is {:.1f} % off the {:.4f} expected of random weights: check the initialisation, "
                          "the vocabulary and the mask before using this run",
                          initial.loss, 100 * std::abs(gap) / expected, expected));
}

}  // namespace lapilli
