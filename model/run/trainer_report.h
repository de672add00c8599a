#pragma once
// The report of a run before its first update.

#include <string>
#include <utility>
#include <vector>

#include "model/run/run_log.h"
#include "model/train/evaluation.h"

namespace lapilli {

// Baseline losses in nats per token, the largest first: "ln|V| 5.781 > unigram 3.337 > bigram 2.484". On tiny data a
// bigram model may lie above all others. Equal ones keep their order.
std::string describe_baselines(std::vector<std::pair<std::string, double>> baselines);

// The loss before the first update beside what random weights should have, and the baselines: event "init" and its lines. Warns if the
// loss is far from the expected one.
void report_init(RunLog& log, const Config& config, const ParameterTable& table, EvaluationPass& evaluation, const TokenShard& train,
                 const TokenShard& val);

}  // namespace lapilli
