#include "tools/html/chart.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "tools/html/chart_assets.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kBarRem = 1.5, kBarsRem = 4.5;  // height of a bar, and of legend and axis around all of them

std::string escape_html(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      case '\'': html += "&#39;"; break;
      default: html += c;
    }
  }
  return html;
}

// JSON for use inside <script>, where HTML interprets "</script" and "<!--". In JSON '<' occurs only in strings, where
// it can be escaped.
std::string dump_for_script(const Json& json) {
  std::string text;
  for (const char c : json_text(json)) {
    if (c == '<') text += "\\u003c";
    else text += c;
  }
  return text;
}

Json axis_to_json(const ChartAxis& axis) { return {{"label", axis.label}, {"unit", axis.unit}, {"is_logarithmic", axis.is_logarithmic}}; }

bool can_show(const ChartAxis& axis, double value) { return std::isfinite(value) && (!axis.is_logarithmic || value > 0); }

void check_bars(const Chart& chart) {
  CHECK(!chart.reference, "'{}' has bars and a reference", chart.title);
  for (const ChartSeries& one : chart.series)
    for (const auto& [x, y] : one.points)
      CHECK(x >= 0 && x < static_cast<double>(chart.bars.size()), "bar {} of {} in '{}'", x, chart.bars.size(), chart.title);
}

Json chart_to_json(const Chart& chart) {
  if (!chart.bars.empty()) check_bars(chart);
  Json series = Json::array();
  for (const ChartSeries& one : chart.series) {
    Json points = Json::array();
    for (const auto& [x, y] : one.points) {
      Json point = Json::array({nullptr, nullptr});
      if (can_show(chart.x, x) && can_show(chart.y, y)) point = Json::array({x, y});
      points.push_back(std::move(point));
    }
    series.push_back({{"name", one.name}, {"points", std::move(points)}});
  }
  Json json{{"title", chart.title},        {"x", axis_to_json(chart.x)}, {"y", axis_to_json(chart.y)},
            {"series", std::move(series)}, {"reference", nullptr},       {"bars", chart.bars}};
  if (chart.reference && can_show(chart.y, chart.reference->y)) json["reference"] = {{"y", chart.reference->y}, {"label", chart.reference->label}};
  return json;
}

constexpr const char* kNoCharts =
    "<p>There are no charts: this lapilli was built without Chart.js (Debian, Ubuntu: install libjs-chart.js, and build again).</p>\n";

std::string facts_to_html(const std::vector<std::string>& facts) {
  std::string html;
  for (const std::string& fact : facts) html += fmt::format("<li>{}</li>\n", escape_html(fact));
  return html;
}

// One container for each chart, in order; the script draws into it.
std::string charts_to_html(const std::vector<Chart>& charts) {
  std::string html;
  for (const Chart& chart : charts) {
    const std::string title = escape_html(chart.title);
    const double bars_rem = kBarsRem + kBarRem * static_cast<double>(chart.bars.size());
    const std::string height = chart.bars.empty() ? "" : fmt::format(" style=\"--height: {:.1f}rem\"", bars_rem);
    html +=
        fmt::format("<figure><figcaption>{0}</figcaption><div{1}><canvas role=\"img\" aria-label=\"{0}\"></canvas></div></figure>\n", title, height);
  }
  return html;
}

// Begins with a digit after an optional sign: "-0.5", "82 ms", "1.2 - 1.4".
bool is_figure(std::string_view cell) {
  if (cell.starts_with('-') || cell.starts_with('+')) cell.remove_prefix(1);
  return !cell.empty() && cell[0] >= '0' && cell[0] <= '9';
}

bool is_column_of_figures(const ChartTable& table, size_t column) {
  size_t figures = 0, texts = 0;
  for (const auto& row : table.rows) {
    if (is_figure(row[column])) ++figures;
    else if (!row[column].empty()) ++texts;
  }
  return figures > texts;
}

std::string table_to_html(const ChartTable& table) {
  for (const auto& row : table.rows) CHECK_EQ(row.size(), table.header.size());

  std::vector<const char*> attributes;  // of every cell in a column
  for (size_t column = 0; column < table.header.size(); ++column)
    attributes.push_back(is_column_of_figures(table, column) ? " class=\"figure\"" : "");
  const auto row_to_html = [&](const std::vector<std::string>& cells, std::string_view tag) {
    std::string html = "<tr>";
    for (size_t column = 0; column < cells.size(); ++column)
      html += fmt::format("<{0}{1}>{2}</{0}>", tag, attributes[column], escape_html(cells[column]));
    return html + "</tr>\n";
  };

  std::string html = "<div class=\"table\">\n<table>\n<thead>\n" + row_to_html(table.header, "th") + "</thead>\n<tbody>\n";
  for (const auto& row : table.rows) html += row_to_html(row, "td");
  return html + "</tbody>\n</table>\n</div>\n";
}

// Replaces each {{place}} of the template by its value. Values are not searched again: they may contain "{{".
std::string fill_template(std::string_view text, const std::map<std::string_view, std::string_view>& values) {
  std::string filled;
  for (;;) {
    const size_t begin = text.find("{{");
    filled += text.substr(0, begin);
    if (begin == text.npos) return filled;
    const size_t end = text.find("}}", begin);
    CHECK(end != text.npos, "a {{{{ without }}}} in the page's template: {}", text.substr(begin, 40));
    const auto value = values.find(text.substr(begin + 2, end - begin - 2));
    CHECK(value != values.end(), "unknown {} in the page's template", text.substr(begin, end + 2 - begin));
    filled += value->second;
    text.remove_prefix(end + 2);
  }
}

}  // namespace

std::string chart_page_html(const ChartPage& page, std::string_view chart_js) {
  Json charts = Json::array();
  for (const Chart& chart : page.charts) charts.push_back(chart_to_json(chart));
  const std::string title = escape_html(page.title);
  const std::string facts_html = facts_to_html(page.facts);
  const std::string charts_html = chart_js.empty() && !page.charts.empty() ? kNoCharts : charts_to_html(page.charts);
  std::string tables_html;
  for (const ChartTable& table : page.tables) tables_html += table_to_html(table);
  const std::string charts_json = dump_for_script(charts);
  return fill_template(chart_page_template(), {{"title", title},
                                               {"facts", facts_html},
                                               {"charts", charts_html},
                                               {"tables", tables_html},
                                               {"charts_json", charts_json},
                                               {"chart_js", chart_js}});
}

void write_chart_page(const std::filesystem::path& path, const ChartPage& page) { write_file_atomically(path, chart_page_html(page, chart_js())); }

}  // namespace lapilli
