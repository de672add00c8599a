#pragma once
// What the pages of all benches share.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tools/html/chart.h"
#include "tools/common/command_options.h"

namespace lapilli {

// "lapilli bench matmul --size 64", such that the same is measured again; without what only says where the figures go.
std::string command_line(const Command& command);

std::string utc_date();  // "2026-01-31 09:05 UTC"

// "m 65, n 33" of {"m": 65, "n": 33}.
std::string shape_text(const nlohmann::ordered_json& shape, std::string_view separator);

// What bars show of the results of a bench.
struct BarFigure {
  const char* title;
  ChartAxis axis;
  const char* key;    // of a result
  double factor = 1;  // from the result to the axis
};
// A bar for each result that has the figure, by its name and in their order.
Chart chart_bars(const BarFigure& figure, const nlohmann::ordered_json& results);

// Of the multiply-adds, in TFLOP/s where the fastest makes many.
Chart chart_rates(const nlohmann::ordered_json& results);
// Shares of the ceiling, which is the first result and has no bar, and the rates with it.
std::vector<Chart> chart_shares_and_rates(const nlohmann::ordered_json& results);

}  // namespace lapilli
