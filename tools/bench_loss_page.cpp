// The page of `lapilli bench loss --html`, made of what --json says.

#include <algorithm>

#include "tools/bench_loss.h"
#include "tools/chart.h"
#include "tools/console.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kMib = 1024.0 * 1024;

ChartAxis axis_of(const std::string& key) {
  const bool is_logarithmic = key != "valid_fraction";
  if (key == "tokens") return {.label = "batch", .unit = "tokens", .is_logarithmic = is_logarithmic};
  if (key == "vocab") return {.label = "vocabulary", .is_logarithmic = is_logarithmic};
  if (key == "dim") return {.label = "width", .is_logarithmic = is_logarithmic};
  if (key == "chunk") return {.label = "chunk", .unit = "columns; tokens: rows", .is_logarithmic = is_logarithmic};
  if (key == "memory_mib") return {.label = "memory for logits", .unit = "MiB", .is_logarithmic = is_logarithmic};
  return {.label = "share of valid rows", .is_logarithmic = is_logarithmic};
}

bool is_matmul(const Json& result) { return result["name"].get<std::string>().starts_with("matmul"); }
bool is_strategy(const Json& result) { return result["name"] != "multiply-add" && !is_matmul(result); }

const Json* find_named(const Json& results, const std::string& name) {
  for (const Json& result : results)
    if (result["name"] == name) return &result;
  return nullptr;
}

// The strategies of any run with what was measured of them in this one: (name, result). One left out because it is the same
// as another shows what that one took.
std::vector<std::pair<std::string, const Json*>> strategies_of(const Json& run) {
  std::vector<std::pair<std::string, const Json*>> found;
  for (const Json& result : run["results"])
    if (is_strategy(result)) found.emplace_back(result["name"], &result);
  for (const Json& reason : run.value("left_out", Json::array()))
    if (reason.contains("same_as"))
      if (const Json* same = find_named(run["results"], reason["same_as"])) found.emplace_back(reason["name"], same);
  return found;
}

// Lines of a chart by name, in the order in which they first appear; points by ascending x.
class Lines {
 public:
  void add(const std::string& name, double x, double y) {
    auto line = std::ranges::find(lines_, name, &ChartSeries::name);
    if (line == lines_.end()) line = lines_.insert(lines_.end(), {name, {}});
    line->points.emplace_back(x, y);
  }
  std::vector<ChartSeries> take() {
    for (ChartSeries& line : lines_) std::ranges::sort(line.points);
    return std::move(lines_);
  }

 private:
  std::vector<ChartSeries> lines_;
};

// ", vocabulary 8192" for each key that is swept beside `key`.
std::string other_values(const Json& shape, const std::vector<std::string>& swept, const std::string& key) {
  std::string text;
  for (const std::string& other : swept)
    if (other != key) text += fmt::format(", {} {}", axis_of(other).label, shape[other].dump());
  return text;
}

// The products depend on N, V and D only: one line for all where none of those is swept.
bool has_one_matmul(const std::vector<std::string>& swept) {
  return std::ranges::none_of(swept, [](const std::string& key) { return key == "tokens" || key == "vocab" || key == "dim"; });
}

Chart throughput_chart(const Json& runs, const std::vector<std::string>& swept, const std::string& key) {
  Chart chart{.title = "Throughput", .x = axis_of(key), .y = {.label = "throughput", .unit = "GFLOP/s"}};
  Lines lines;
  std::vector<double> matmul;
  for (const Json& run : runs) {
    const double x = run["shape"][key];
    const std::string others = other_values(run["shape"], swept, key);
    for (const auto& [name, result] : strategies_of(run))
      if (result->contains("gflops")) lines.add(name + others, x, (*result)["gflops"]);
    matmul.push_back(run["matmul_gflops"]);
    if (!has_one_matmul(swept)) lines.add("plain products" + others, x, matmul.back());
  }
  chart.series = lines.take();
  if (has_one_matmul(swept)) chart.reference = {.y = quantile(matmul, 0.5), .label = "plain products"};
  return chart;
}

Chart memory_chart(const Json& runs, const std::vector<std::string>& swept, const std::string& key) {
  Chart chart{.title = "Scratch memory", .x = axis_of(key), .y = {.label = "scratch", .unit = "MiB", .is_logarithmic = true}};
  Lines lines;
  double plain = 0;
  for (const Json& run : runs) {
    const Json& shape = run["shape"];
    const double x = shape[key];
    const std::string others = other_values(shape, swept, key);
    for (const auto& [name, result] : strategies_of(run)) lines.add(name + others, x, (*result)["scratch_bytes"].get<double>() / kMib);
    plain = 8.0 * shape["tokens"].get<double>() * shape["vocab"].get<double>() / kMib;
    if (!has_one_matmul(swept)) lines.add("all logits and gradients" + others, x, plain);
  }
  chart.series = lines.take();
  if (has_one_matmul(swept)) chart.reference = {.y = plain, .label = "all logits and gradients"};
  return chart;
}

// Relative to all rows valid where that was measured, with the line on which masked rows cost nothing.
Chart fraction_chart(const Json& runs, const std::vector<std::string>& swept) {
  const std::string key = "valid_fraction";
  const bool is_relative = std::ranges::any_of(runs, [&](const Json& run) { return run["shape"][key] == 1.0; });
  Chart chart{.title = "Time by the share of valid rows", .x = axis_of(key), .y = {.label = "time", .unit = is_relative ? "of all rows valid" : "ms"}};
  Lines lines;
  for (const Json& run : runs) {
    const double x = run["shape"][key];
    const std::string others = other_values(run["shape"], swept, key);
    for (const auto& [name, result] : strategies_of(run))
      lines.add(name + others, x, is_relative ? result->value("time_of_all_valid", 1.0) : (*result)["median_ms"].get<double>());
  }
  chart.series = lines.take();
  if (is_relative) chart.series.push_back({"proportional", {{0, 0}, {1, 1}}});
  return chart;
}

std::string share(const Json& result, const char* key) {
  return result.contains(key) ? fmt::format("{:.1f} %", 100 * result[key].get<double>()) : "";
}
std::string rate(const Json& result, const char* key) { return result.contains(key) ? fmt::format("{:.1f}", result[key].get<double>()) : ""; }
std::string error(const Json& result, const char* key) {
  if (!result.contains(key)) return "";
  return result[key].is_number() ? fmt::format("{:.1e}", result[key].get<double>()) : "not a number";
}
std::string bytes(const Json& result, const char* key) { return result.contains(key) ? format_bytes(result[key].get<uint64_t>()) : ""; }

ChartTable table_of(const Json& runs) {
  ChartTable table{.header = {"N", "valid", "V", "D", "", "median", "GFLOP/s", "of ceiling", "of matmul", "GB/s", "scratch", "allocated",
                              "plain way", "nll error (nats)", "d_x error", "of all valid", ""}};
  for (const Json& run : runs) {
    const Json& shape = run["shape"];
    const std::vector<std::string> place{shape["tokens"].dump(), shape["valid_tokens"].dump(), shape["vocab"].dump(), shape["dim"].dump()};
    for (const Json& result : run["results"]) {
      std::vector<std::string> row = place;
      const auto relative = result.contains("time_of_all_valid") ? fmt::format("{:.3f}", result["time_of_all_valid"].get<double>()) : "";
      row.insert(row.end(), {result["name"], format_seconds(result["median_ms"].get<double>() * 1e-3), rate(result, "gflops"),
                             share(result, "share_of_ceiling"), share(result, "share_of_matmul"), rate(result, "gb_per_s"),
                             bytes(result, "scratch_bytes"), bytes(result, "allocated_bytes"), bytes(result, "plain_bytes"),
                             error(result, "nll_error_nats"), error(result, "d_x_relative_error"), relative, result.value("plan", "")});
      table.rows.push_back(std::move(row));
    }
    for (const Json& reason : run.value("left_out", Json::array())) {
      std::vector<std::string> row = place;
      row.emplace_back(reason["name"]);
      row.resize(table.header.size());
      row.back() = reason["reason"];
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

// What every run has in common: "tokens 1024, dim 256".
std::string common_values(const Json& runs) {
  std::string text;
  for (const auto& [key, value] : runs[0]["shape"].items()) {
    const bool is_common = std::ranges::all_of(runs, [&](const Json& run) { return run["shape"].value(key, Json()) == value; });
    if (is_common && key != "valid_tokens" && key != "matmul_columns")
      text += (text.empty() ? "" : ", ") + key + " " + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

}  // namespace

void write_loss_page(const std::filesystem::path& path, const Json& runs, const std::vector<std::string>& swept,
                     const std::vector<std::string>& facts) {
  ChartPage page{.title = "Linear + cross-entropy: throughput and memory", .facts = facts, .table = table_of(runs)};
  page.facts.push_back(common_values(runs));
  for (const std::string& key : swept) {
    if (key == "valid_fraction") {
      page.charts.push_back(fraction_chart(runs, swept));
      continue;
    }
    page.charts.push_back(throughput_chart(runs, swept, key));
    page.charts.push_back(memory_chart(runs, swept, key));
  }
  page.facts.emplace_back("Throughput: FLOPs of the formula, 2NDV to evaluate and 6NDV to train for N valid rows, over the median time.");
  page.facts.emplace_back("Plain products: nt, nn and tn of the same shape together (as many columns as make 256 MiB at most), in turn with the rest.");
  page.facts.emplace_back("Errors: against double precision on up to 8 rows; d_x relative to the largest component of its row.");
  write_chart_page(path, page);
}

}  // namespace lapilli
