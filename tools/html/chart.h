#pragma once
// Results as a page with charts: one self-contained HTML file (with Chart.js) that needs no network, with layouts for
// phones, dark mode and print.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lapilli {

struct ChartAxis {
  std::string label = {};  // "context"
  std::string unit = {};   // "tokens": shown after the label and in tooltips; empty for none
  // A logarithmic x axis has ticks at the x values of the points, as plain numbers: 8192, 32000; as many as fit.
  bool is_logarithmic = false;
};

// Points as (x, y), connected in the given order. A point that cannot be shown (not finite; not above 0 on a
// logarithmic axis) is a gap in the line.
struct ChartSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

// A dashed horizontal line, such as a ceiling.
struct ChartReference {
  double y = 0;
  std::string label;
};

struct Chart {
  std::string title;
  ChartAxis x = {}, y = {};
  std::vector<ChartSeries> series = {};
  std::optional<ChartReference> reference = std::nullopt;
  // Not empty: a horizontal bar chart instead of lines, with these names from top to bottom. A point's x is then the
  // index of its name, and the x axis is not shown. REQUIRES: no reference.
  std::vector<std::string> bars = {};
};

// A column with mostly numbers is aligned right, others left.
struct ChartTable {
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};
};

// Texts are UTF-8 without markup: the page shows them verbatim.
struct ChartPage {
  std::string title;
  std::vector<std::string> facts = {};  // lines under the title: device, driver, command
  std::vector<Chart> charts = {};
  std::vector<ChartTable> tables = {};  // below the charts
};

// The page as text. `chart_js` is Chart.js; empty: no charts, and the page says what is missing.
// REQUIRES: rows of a table have as many cells as its header.
std::string chart_page_html(const ChartPage& page, std::string_view chart_js);

// With the Chart.js that the program was built with, if any. Writes the complete file or none (AtomicFile); the folder must exist. Throws
// Error.
// REQUIRES: rows of a table have as many cells as its header.
void write_chart_page(const std::filesystem::path& path, const ChartPage& page);

}  // namespace lapilli
