#include "tools/bench/bench_page.h"

#include "engine/base/json.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace lapilli {

namespace {

constexpr double kGflopsToTellInTera = 10'000;

}  // namespace

std::string command_line(const Command& command) {
  constexpr std::array kWhereTo{"--html", "--json", "--save"};
  std::string text = "lapilli bench " + command.name();
  const auto quote = [](const std::string& value) { return value.find(' ') == std::string::npos ? value : "\"" + value + "\""; };
  for (const Command::Given& given : command.given()) {
    if (std::ranges::find(kWhereTo, given.name) != kWhereTo.end()) continue;
    const std::string name = given.name.empty() ? "" : " " + given.name;
    if (given.values.empty()) text += name;
    else if (given.is_list) text += fmt::format("{} {}", name, quote(fmt::format("{}", fmt::join(given.values, ","))));
    else
      for (const std::string& value : given.values) text += name + " " + quote(value);
  }
  return text;
}

std::string utc_date() { return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr))); }

std::string shape_text(const nlohmann::ordered_json& shape, std::string_view separator) {
  std::string text;
  for (const auto& [key, value] : shape.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : separator, key, value.is_string() ? value.get<std::string>() : json_text(value));
  return text;
}

Chart chart_bars(const BarFigure& figure, const nlohmann::ordered_json& results) {
  Chart chart{.title = figure.title, .y = figure.axis, .series = {{.name = figure.axis.label, .points = {}}}};
  for (const nlohmann::ordered_json& result : results) {
    if (!result.contains(figure.key)) continue;
    chart.series[0].points.emplace_back(chart.bars.size(), figure.factor * result[figure.key].get<double>());
    chart.bars.push_back(result["name"]);
  }
  return chart;
}

Chart chart_rates(const nlohmann::ordered_json& results) {
  const bool in_tera = std::ranges::any_of(results, [](const auto& result) { return result.value("gflops", 0.0) >= kGflopsToTellInTera; });
  return chart_bars({.title = "Throughput",
                     .axis = {.label = "throughput", .unit = in_tera ? "TFLOP/s" : "GFLOP/s"},
                     .key = "gflops",
                     .factor = in_tera ? 1e-3 : 1},
                    results);
}

std::vector<Chart> chart_shares_and_rates(const nlohmann::ordered_json& results) {
  nlohmann::ordered_json others = results;
  others.erase(0);
  return {chart_bars({.title = "Share of the ceiling", .axis = {.label = "of the ceiling", .unit = "%"}, .key = "share_of_ceiling", .factor = 100},
                     others),
          chart_rates(results)};
}

}  // namespace lapilli
