#include "model/run/trainer_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/utf8.h"
#include "engine/base/version.h"
#include "engine/program/step_profile.h"
#include "model/transformer/flops.h"

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

void report_start(RunLog& log, const StartFacts& facts) {
  const Config& config = facts.config;
  const ModelConfig& model = config.model;
  const LossPlan& loss = facts.memory.step->loss_plan();
  const uint64_t tokens_per_step = uint64_t{config.data.batch} * config.data.accumulate * model.context;
  nlohmann::ordered_json event{{"event", "start"},
                               {"lapilli", build_version().version},
                               {"commit", build_version().commit},
                               {"device", facts.caps.name},
                               {"driver", facts.caps.driver},
                               {"version", facts.caps.api_version},
                               {"parameters", facts.table.count()},
                               {"tokens_per_step", tokens_per_step},
                               {"memory_bytes", facts.memory.planned_bytes()},
                               {"loss_plan", loss.to_string()},
                               {"seed", facts.seed}};
  if (facts.resumed_from) event["resumed_from"] = *facts.resumed_from;
  log.event(event);
  log.line(fmt::format("device      {} ({}), {} kernels", facts.caps.name, facts.caps.driver, to_string(facts.caps.kernel_class)));
  log.line(fmt::format("model       {} {}: {} parameters; {} layers, width {}, {} heads, context {}, vocabulary {}", to_string(model.arch),
                       to_string(config.train.precision), facts.table.count(), model.layers, model.dim, model.heads, model.context,
                       model.vocab_size));
  std::string kinds;
  for (const auto& [kind, bytes] : facts.memory.kept.bytes_by_kind()) kinds += fmt::format("{} {:.1f}, ", kind, mib(bytes));
  log.line(fmt::format("memory      {:.1f} MiB ({}activations and loss {:.1f})", mib(facts.memory.planned_bytes()), kinds,
                       mib(facts.memory.scratch.planned_bytes())));
  if (!config.teacher.empty()) log.line(fmt::format("teacher     {}, {:g} of the objective", config.teacher, config.loss.distillation));
  log.line("loss        " + loss.to_string() + (facts.loss_reason.empty() ? "" : " (" + facts.loss_reason + ")"));
  if (!facts.tuner.decisions().empty())
    log.line(fmt::format("kernels     {} chosen by measurement{}; lapilli bench --explain lists their alternatives", facts.tuner.decisions().size(),
                         facts.tuner.seconds_spent() > 0 ? fmt::format(" in {:.1f} s", facts.tuner.seconds_spent()) : ", all of them remembered"));
  const TrainingData& data = facts.data;
  const auto run_tokens = static_cast<double>(tokens_per_step * config.train.steps);
  log.line(fmt::format("data        {} tokens to train on, {} to validate; {} a step, {:.2f} passes over the data", data.train_tokens(),
                       data.val_tokens(), tokens_per_step, run_tokens / static_cast<double>(data.train_tokens())));
  if (!data.is_mix()) return;
  for (const TrainingSet& set : data.sets())
    log.line(fmt::format("            {:.1f} % from {}: {} tokens, {:.2f} passes", 100 * set.share, set.dir, set.train.token_count(),
                         run_tokens * set.share / static_cast<double>(set.train.token_count())));
}

void report_sets(RunLog& log, uint64_t step, const TrainingData& data, std::span<const EvaluationResult> results) {
  nlohmann::ordered_json event{{"event", "val_sets"}, {"step", step}, {"sets", nlohmann::ordered_json::array()}};
  std::string text;
  for (size_t k = 0; k < results.size(); ++k) {
    const std::string& dir = data.sets()[k].dir;
    const nlohmann::ordered_json loss = std::isfinite(results[k].loss) ? nlohmann::ordered_json(results[k].loss) : nullptr;
    event["sets"].push_back({{"dir", dir}, {"loss", loss}, {"tokens", results[k].tokens}});
    text += fmt::format("{}{} {:.4f}", text.empty() ? "" : ", ", std::filesystem::path(dir).filename().string(), results[k].loss);
  }
  log.event(event);
  log.line("            " + text);
}

std::string draw_sample(Generator& generator, const Tokenizer& tokenizer, const TokenShard& val, uint64_t seed) {
  std::vector<uint32_t> tokens(std::min<uint64_t>(4, val.token_count()));
  val.read(tokens, 0);
  const std::vector<uint32_t> drawn = generator.generate(tokens, {.tokens = 48, .seed = seed}, {}, val.eos_id());
  tokens.insert(tokens.end(), drawn.begin(), drawn.end());
  std::string text = tokenizer.decode(tokens);
  text.resize(text.size() - unfinished_utf8_bytes(text));
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

void report_profile(RunLog& log, const std::filesystem::path& folder, const std::vector<StepProfile>& steps, const Ceilings& ceilings,
                    const DeviceCaps& caps) {
  const std::string table = profile_table(summarize(steps), ceilings);
  write_file_atomically(folder / "profile.txt", table);
  write_file_atomically(folder / "trace.json", trace_json(steps, ceilings, {{"device", caps.name}, {"driver", caps.driver}}));
  log.line(fmt::format("profile     steps {} to {}, also in profile.txt and (for Perfetto) trace.json\n{}", steps.front().step, steps.back().step,
                       table));
}

// Logits of unit-RMS features against N(0, s^2) rows have variance s2 = D s^2, and E ln sum exp of V of them is about
// ln V + s2/2.
double expected_initial_loss(const ModelConfig& config, const LossOptions& loss) {
  const double std = ModelConfig::kInitStd / loss.temperature;
  return std::log(config.vocab_size) + config.dim * std * std / 2;
}

void report_init(RunLog& log, const Config& config, const ParameterTable& table, EvaluationPass& evaluation, const TrainingData& data) {
  log.progress("init        evaluating the model before training");
  const EvaluationResult initial = mixed(data.evaluate(evaluation, init_tokens(flops_per_token(config.model, table) / 3)), data.shares());
  const double ln_vocab = std::log(config.model.vocab_size), expected = expected_initial_loss(config.model, config.loss);
  const double gap = initial.loss - expected;
  const NgramReference ngram = data.ngrams();
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
  if (const double per_token = data.source_entropy_per_token(); std::isfinite(per_token)) {
    event["source_entropy"] = per_token;
    baselines.emplace_back("the source's entropy", per_token);
  }
  log.event(event);
  if (!config.train.init_from.empty()) {
    log.line(fmt::format("init        loss {:.4f} with the weights of {}", initial.loss, config.train.init_from));
    return log.line("baselines   " + describe_baselines(std::move(baselines)) + "   (nats per token of the validation text)");
  }
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
