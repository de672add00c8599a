#pragma once
// The report of a run before its first update.

#include <string>
#include <utility>
#include <vector>

namespace lapilli {

// Baseline losses in nats per token, the largest first: "ln|V| 5.781 > unigram 3.337 > bigram 2.484". On tiny data a
// bigram model may lie above all others. Equal ones keep their order.
std::string describe_baselines(std::vector<std::pair<std::string, double>> baselines);

}  // namespace lapilli
