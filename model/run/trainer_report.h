#pragma once
// What a run says about itself: before its first update, of its samples, of its profile.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/tuning/tuner.h"
#include "model/run/run_log.h"
#include "model/run/training_data.h"
#include "model/train/training_memory.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

// References: for the call alone.
struct StartFacts {
  const DeviceCaps& caps;
  const Config& config;
  const ParameterTable& table;
  const TrainingMemory& memory;
  const Tuner& tuner;
  const TrainingData& data;
  uint64_t seed;
  std::optional<uint64_t> resumed_from;
  const std::string& loss_reason;  // why this strategy; empty when the configuration sets it
};
// Event "start" and its lines: device, model, memory, loss, kernels, data.
void report_start(RunLog& log, const StartFacts& facts);

// Event "val_sets" and its line: the validation loss of each set of a mix. REQUIRES as many results as sets.
void report_sets(RunLog& log, uint64_t step, const TrainingData& data, std::span<const EvaluationResult> results);

// Some tokens that the model draws after the first ones of the validation text, on one line.
std::string draw_sample(Generator& generator, const Tokenizer& tokenizer, const TokenShard& val, uint64_t seed);

// profile.txt and trace.json in the folder, and the table on the terminal.
void report_profile(RunLog& log, const std::filesystem::path& folder, const std::vector<StepProfile>& steps, const Ceilings& ceilings,
                    const DeviceCaps& caps);

// Baseline losses in nats per token, the largest first: "ln|V| 5.781 > unigram 3.337 > bigram 2.484". On tiny data a
// bigram model may lie above all others. Equal ones keep their order.
std::string describe_baselines(std::vector<std::pair<std::string, double>> baselines);

// The loss before the first update beside what random weights should have, and the baselines: event "init" and its lines. Warns if the
// loss is far from the expected one.
void report_init(RunLog& log, const Config& config, const ParameterTable& table, EvaluationPass& evaluation, const TrainingData& data);

}  // namespace lapilli
