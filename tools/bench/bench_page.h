#pragma once
// Shared by the pages of all benches.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/command_options.h"
#include "tools/html/chart.h"

namespace lapilli {

// The command that repeats the measurement, "lapilli bench matmul --size 64", without output options.
std::string command_line(const Command& command);

std::string utc_date();  // "2026-01-31 09:05 UTC"

// "m 65, n 33" of {"m": 65, "n": 33}.
std::string shape_text(const nlohmann::ordered_json& shape, std::string_view separator);

// A figure of a bench's results shown as bars.
struct BarFigure {
  const char* title;
  ChartAxis axis;
  const char* key;    // in a result
  double factor = 1;  // from the result to the axis
};
// A bar for each result that has the figure, with its name, in the order of the results.
Chart chart_bars(const BarFigure& figure, const nlohmann::ordered_json& results);

// Rates of multiply-adds, in TFLOP/s if the fastest is that fast.
Chart chart_rates(const nlohmann::ordered_json& results);
// Shares of the ceiling (the first result, without a bar), and the rates including it.
std::vector<Chart> chart_shares_and_rates(const nlohmann::ordered_json& results);

}  // namespace lapilli
