#pragma once
// Results as a page with charts: one HTML file that holds everything it shows (Chart.js too) and needs no network, readable
// on a phone, in the dark and on paper.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lapilli {

struct ChartAxis {
  std::string label = {};  // "context"
  std::string unit = {};   // "tokens": behind the label, and behind each value when pointed at; empty for none
  // A logarithmic x axis has its ticks at the points' own x, as plain numbers: 8192, 32000. As many as there is room for.
  bool is_logarithmic = false;
};

// Points as (x, y), joined in the order given. One that its axes cannot show (not finite; not above 0 where an axis is
// logarithmic) is a gap in the line.
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
  // Names from top to bottom: bars that lie under each other instead of lines. A point's x is then the place of its name, 0 being the
  // first, and the axis x is not shown. REQUIRES: no reference.
  std::vector<std::string> bars = {};
};

// A column most of whose cells are figures is flush right, others flush left.
struct ChartTable {
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};
};

// Texts are UTF-8 without markup: the page shows them letter for letter.
struct ChartPage {
  std::string title;
  std::vector<std::string> facts = {};  // lines under the title: device, driver, command
  std::vector<Chart> charts = {};
  std::vector<ChartTable> tables = {};  // below the charts
};

// All of it is at `path` or nothing is (AtomicFile); the folder must be there. Throws Error.
// REQUIRES: rows of a table have as many cells as its header.
void write_chart_page(const std::filesystem::path& path, const ChartPage& page);

}  // namespace lapilli
