// Pages with charts: what is in the file. Their appearance is not tested.
#include "tools/html/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/base/file.h"
#include "tests/common/files.h"
#include "tools/html/chart_assets.h"

namespace lapilli {
namespace {

using testing::error_of;
using testing::TempDir;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::string_view kEvil = R"(a </script><script>x()</script> <!-- & "b" 'c' {{title}})";
constexpr std::string_view kEvilInHtml = "a &lt;/script&gt;&lt;script&gt;x()&lt;/script&gt; &lt;!-- &amp; &quot;b&quot; &#39;c&#39; {{title}}";

ChartPage sample_page() {
  ChartPage page{.title = "Throughput", .facts = {"llvmpipe", "lapilli bench"}};
  page.charts.push_back({.title = "Loss kernels",
                         .x = {.label = "vocabulary", .unit = "tokens", .is_logarithmic = true},
                         .y = {.label = "time", .unit = "ms"},
                         .series = {{"full", {{8192, 1.25}, {32000, 5.1}}}, {"chunked", {{8192, 0.1}, {32000, 1.0 / 3}}}},
                         .reference = ChartReference{2.5, "ceiling"}});
  page.tables = {{{"name", "time"}, {{"full", "1.25 ms"}}}};
  return page;
}

std::string written(const ChartPage& page) {
  const TempDir folder;
  write_chart_page(folder / "page.html", page);
  return read_text_file(folder / "page.html");
}

size_t count(std::string_view text, std::string_view part) {
  size_t times = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++times;
  return times;
}

// The page without Chart.js, which must be in it exactly once.
std::string without_chart_js(std::string html) {
  if (chart_js().empty()) return html;  // built without it
  EXPECT_EQ(count(html, chart_js()), 1U);
  html.erase(html.find(chart_js()), chart_js().size());
  return html;
}

// The text that the page's script will parse, located as by a browser: up to the first "</script".
nlohmann::json charts_of(const std::string& html) {
  constexpr std::string_view kOpen = R"(<script type="application/json" id="charts">)";
  const size_t begin = html.find(kOpen) + kOpen.size();
  return nlohmann::json::parse(html.substr(begin, html.find("</script", begin) - begin));
}

TEST(ChartPage, Points_InThePage_AreTheOnesGiven) {
  const nlohmann::json charts = charts_of(written(sample_page()));
  ASSERT_EQ(charts.size(), 1U);
  const nlohmann::json& chart = charts[0];
  EXPECT_EQ(chart["title"], "Loss kernels");
  EXPECT_EQ(chart["x"], nlohmann::json({{"label", "vocabulary"}, {"unit", "tokens"}, {"is_logarithmic", true}}));
  EXPECT_EQ(chart["y"], nlohmann::json({{"label", "time"}, {"unit", "ms"}, {"is_logarithmic", false}}));
  ASSERT_EQ(chart["series"].size(), 2U);
  EXPECT_EQ(chart["series"][0]["name"], "full");
  EXPECT_EQ(chart["series"][0]["points"], nlohmann::json::parse("[[8192.0, 1.25], [32000.0, 5.1]]"));
  EXPECT_EQ(chart["series"][1]["points"][1][1].get<double>(), 1.0 / 3);
  EXPECT_EQ(chart["reference"], nlohmann::json({{"y", 2.5}, {"label", "ceiling"}}));
}

TEST(ChartPage, PointsThatAnAxisCannotShow_BecomeGaps) {
  ChartPage page = sample_page();
  page.charts[0].y.is_logarithmic = true;
  page.charts[0].series = {{"s", {{1, 1}, {2, std::nan("")}, {3, kInfinity}, {4, 0}, {0, 4}, {5, 5}}}};
  page.charts[0].reference = ChartReference{-1, "below"};
  const nlohmann::json chart = charts_of(written(page))[0];
  const nlohmann::json gap = nlohmann::json::array({nullptr, nullptr});
  EXPECT_EQ(chart["series"][0]["points"], nlohmann::json({{1.0, 1.0}, gap, gap, gap, gap, {5.0, 5.0}}));
  EXPECT_TRUE(chart["reference"].is_null());

  page.charts[0].x.is_logarithmic = page.charts[0].y.is_logarithmic = false;
  const nlohmann::json linear = charts_of(written(page))[0];
  EXPECT_EQ(linear["series"][0]["points"][3], nlohmann::json({4.0, 0.0}));
  EXPECT_EQ(linear["reference"]["y"], -1.0);
}

TEST(ChartPage, Markup_InTexts_IsEscaped) {
  const std::string evil(kEvil);
  ChartPage page{.title = evil, .facts = {evil}, .tables = {{{evil}, {{evil}}}}};
  page.charts
      .push_back({.title = evil, .x = {.label = evil}, .y = {.unit = evil}, .series = {{evil, {{1, 1}}}}, .reference = ChartReference{1, evil}});
  page.charts.push_back({.title = "bars", .series = {{"s", {{0, 1}}}}, .bars = {evil}});
  const std::string html = without_chart_js(written(page));

  // <title>, <h1>, a fact, a caption and its label, a heading and a cell.
  EXPECT_EQ(count(html, kEvilInHtml), 7U);
  EXPECT_EQ(count(html, "x()"), 7U + 6U);
  EXPECT_EQ(count(html, "<script"), 3U);
  EXPECT_EQ(count(html, "</script"), 3U);
  EXPECT_EQ(charts_of(html)[1]["bars"][0], evil);
  const nlohmann::json chart = charts_of(html)[0];
  EXPECT_EQ(chart["title"], evil);
  EXPECT_EQ(chart["x"]["label"], evil);
  EXPECT_EQ(chart["y"]["unit"], evil);
  EXPECT_EQ(chart["series"][0]["name"], evil);
  EXPECT_EQ(chart["reference"]["label"], evil);
}

TEST(ChartPage, TextThatIsNotUtf8_StillMakesAPage) {
  ChartPage page = sample_page();
  page.charts[0].title = "a\xff";
  EXPECT_EQ(charts_of(written(page))[0]["title"], "a\xEF\xBF\xBD");
}

TEST(ChartPage, NothingIsFetched) {
  const std::string html = without_chart_js(written(sample_page()));
  EXPECT_EQ(count(html, "://"), 0U);
  EXPECT_EQ(count(html, " src="), 0U);
  EXPECT_EQ(count(html, "<link"), 0U);
  EXPECT_EQ(count(html, "default-src 'none'"), 1U);
  // Chart.js is inside <script> unchanged.
  EXPECT_EQ(count(chart_js(), "</script"), 0U);
  EXPECT_EQ(count(chart_js(), "<!--"), 0U);
}

TEST(ChartPage, WithoutChartJs_SaysWhatIsMissing) {
  const std::string html = chart_page_html(sample_page(), "");
  EXPECT_EQ(count(html, "built without Chart.js"), 1U);
  EXPECT_EQ(count(html, "<canvas"), 0U);
  EXPECT_EQ(count(html, "1.25 ms"), 1U);  // tables are there
  EXPECT_EQ(count(chart_page_html(sample_page(), "window.Chart = 1;"), "built without Chart.js"), 0U);
}

TEST(ChartPage, ColumnsOfFigures_AreFlushRight) {
  ChartPage page = sample_page();
  page.tables = {{{"name", "time", "change", "3 notes"},
                  {{"full", "1.25 ms", "-3 %", "8 lanes"}, {"none", "does not fit", "", "-"}, {"chunked", "0.1 ms", "+1 %", "slow"}}},
                 {{"another"}, {}}};
  const std::string html = written(page);
  EXPECT_EQ(count(html, R"(<th>name</th><th class="figure">time</th><th class="figure">change</th><th>3 notes</th>)"), 1U);
  EXPECT_EQ(count(html, R"(<td>none</td><td class="figure">does not fit</td><td class="figure"></td><td>-</td>)"), 1U);

  EXPECT_EQ(count(html, "<th>another</th>"), 1U);

  page.tables = {};
  EXPECT_EQ(count(written(page), "<table"), 0U);
}

TEST(ChartPage, ExistingPage_IsReplacedAtomically) {
  const TempDir folder;
  folder.write("page.html", "old");
  std::filesystem::create_hard_link(folder / "page.html", folder / "old.html");
  write_chart_page(folder / "page.html", sample_page());
  EXPECT_EQ(read_text_file(folder / "old.html"), "old");
  EXPECT_EQ(count(read_text_file(folder / "page.html"), "<!DOCTYPE html>"), 1U);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"old.html", "page.html"}));

  EXPECT_ERROR_MENTIONS(error_of([&] { write_chart_page(folder / "missing/page.html", sample_page()); }), "missing/page.html");
}

TEST(ChartPageDeathTest, ARowOfAnotherLengthThanTheHeader_IsABug) {
  ChartPage page = sample_page();
  page.tables[0].rows.push_back({"short"});
  EXPECT_DEATH(written(page), "size");
}

TEST(ChartPage, Bars_HeightGrowsWithTheirCount_LinesKeepTheirs) {
  ChartPage page = sample_page();
  EXPECT_EQ(count(written(page), "style=\"--height"), 0U);
  EXPECT_EQ(charts_of(written(page))[0]["bars"], nlohmann::json::array());
  page.charts.push_back({.title = "Time", .y = {.unit = "%"}, .series = {{"step", {{0, 62.5}, {1, std::nan("")}}}}, .bars = {"loss", "attention"}});
  const std::string html = written(page);
  EXPECT_EQ(count(html, "<div style=\"--height: 7.5rem\"><canvas role=\"img\" aria-label=\"Time\">"), 1U);
  const nlohmann::json chart = charts_of(html)[1];
  EXPECT_EQ(chart["bars"], nlohmann::json({"loss", "attention"}));
  EXPECT_EQ(chart["series"][0]["points"], nlohmann::json::parse("[[0.0, 62.5], [null, null]]"));
}

TEST(ChartPageDeathTest, APointThatIsNoBar_AndAReferenceBesideBars_AreBugs) {
  ChartPage page = sample_page();
  page.charts[0].bars = {"full"};
  EXPECT_DEATH(written(page), "reference");
  page.charts[0].reference.reset();
  EXPECT_DEATH(written(page), "bar 8192 of 1");
}

}  // namespace
}  // namespace lapilli
