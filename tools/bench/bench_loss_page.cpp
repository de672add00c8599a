// The page of `lapilli bench loss --html`, made from the JSON of --json.

#include <algorithm>

#include "engine/base/json.h"
#include "tools/bench/bench_loss.h"
#include "tools/bench/bench_page.h"
#include "tools/common/console.h"
#include "tools/html/chart.h"

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

const Json* find_named(const Json& results, const std::string& name) {
  for (const Json& result : results)
    if (result["name"] == name) return &result;
  return nullptr;
}

// The result of a strategy in a run, or of the equal one. Null: skipped.
const Json* find_strategy(const Json& run, const std::string& name) {
  if (const Json* result = find_named(run["results"], name)) return result;
  const Json left_out = run.value("left_out", Json::array());
  const Json* reason = find_named(left_out, name);
  return reason != nullptr && reason->contains("same_as") ? find_named(run["results"], (*reason)["same_as"]) : nullptr;
}

// visit(name, run, result) for every strategy, run by run, except those equal to another one in all runs: they would
// hide it in a chart.
template <typename Visit>
void for_each_strategy(const Json& runs, const Visit& visit) {
  for (const std::string& name : loss_strategy_names()) {
    if (std::ranges::none_of(runs, [&](const Json& run) { return find_named(run["results"], name) != nullptr; })) continue;
    for (const Json& run : runs)
      if (const Json* result = find_strategy(run, name)) visit(name, run, *result);
  }
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

// Runs that differ in one swept key alone, and what the others are in them: " (vocabulary 8192)".
struct Group {
  std::string others;
  Json runs;
};

std::vector<Group> groups_along(const std::string& key, const Json& runs, const std::vector<std::string>& swept) {
  std::vector<Group> groups;
  for (const Json& run : runs) {
    std::string others;
    for (const std::string& other : swept)
      if (other != key) others += (others.empty() ? " (" : ", ") + axis_of(other).label + " " + json_text(run["shape"][other]);
    if (!others.empty()) others += ")";
    auto group = std::ranges::find(groups, others, &Group::others);
    if (group == groups.end()) group = groups.insert(groups.end(), {others, Json::array()});
    group->runs.push_back(run);
  }
  return groups;
}

// `value(result)` of every strategy over a swept key, where the result has it.
template <typename Value>
Lines lines_over(const std::string& key, const Json& runs, const char* needs, const Value& value) {
  Lines lines;
  for_each_strategy(runs, [&](const std::string& name, const Json& run, const Json& result) {
    if (result.contains(needs)) lines.add(name, run["shape"][key], value(result));
  });
  return lines;
}

Chart throughput_chart(const std::string& key, const Group& group) {
  std::vector<double> matmul;
  for (const Json& run : group.runs) matmul.push_back(run["matmul_gflops"]);
  return {.title = "Throughput" + group.others,
          .x = axis_of(key),
          .y = {.label = "throughput", .unit = "GFLOP/s"},
          .series = lines_over(key, group.runs, "gflops", [](const Json& result) { return result["gflops"].get<double>(); }).take(),
          .reference = ChartReference{quantile(matmul, 0.5), "plain matmuls (median of the sweep)"}};
}

Chart share_chart(const std::string& key, const Group& group) {
  const auto percent = [](const Json& result) { return 100 * result["share_of_matmul"].get<double>(); };
  return {.title = "Relative to plain matmuls" + group.others,
          .x = axis_of(key),
          .y = {.label = "of plain matmuls", .unit = "%"},
          .series = lines_over(key, group.runs, "share_of_matmul", percent).take(),
          .reference = ChartReference{100, "plain matmuls"}};
}

Chart memory_chart(const std::string& key, const Group& group) {
  const auto mib = [](const Json& result) { return result["scratch_bytes"].get<double>() / kMib; };
  Lines lines = lines_over(key, group.runs, "scratch_bytes", mib);
  for (const Json& run : group.runs) {
    const Json& shape = run["shape"];
    const double plain_bytes = 8.0 * shape["tokens"].get<double>() * shape["vocab"].get<double>();
    lines.add("all logits and gradients", shape[key], plain_bytes / kMib);
  }
  return {.title = "Scratch memory" + group.others,
          .x = axis_of(key),
          .y = {.label = "scratch", .unit = "MiB", .is_logarithmic = true},
          .series = lines.take()};
}

// Relative to all rows valid if that was measured, with the ideal line on which masked rows cost nothing.
Chart fraction_chart(const std::string& key, const Group& group) {
  const auto is_all_valid = [&](const Json& run) { return run["shape"][key] == 1.0; };
  const bool is_relative = std::ranges::any_of(group.runs, is_all_valid);
  const auto time = [&](const Json& result) { return is_relative ? result.value("time_of_all_valid", 1.0) : result["median_ms"].get<double>(); };
  Chart chart{.title = "Time by the share of valid rows" + group.others,
              .x = axis_of(key),
              .y = {.label = "time", .unit = is_relative ? "of all rows valid" : "ms"},
              .series = lines_over(key, group.runs, "median_ms", time).take()};
  // First, for a distinct colour.
  if (is_relative) chart.series.insert(chart.series.begin(), {"proportional", {{0, 0}, {1, 1}}});
  return chart;
}

// Charts of a single point: bars instead of lines.
std::vector<Chart> bars_of(const Json& results) {
  return {
      chart_bars({.title = "Relative to plain matmuls", .axis = {.label = "of plain matmuls", .unit = "%"}, .key = "share_of_matmul", .factor = 100},
                 results),
      chart_rates(results),
      chart_bars({.title = "Scratch memory", .axis = {.label = "scratch", .unit = "MiB"}, .key = "scratch_bytes", .factor = 1 / kMib}, results)};
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

std::vector<std::string> table_cells(const Json& result) {
  const auto relative = result.contains("time_of_all_valid") ? fmt::format("{:.3f}", result["time_of_all_valid"].get<double>()) : "";
  return {result["name"],
          format_seconds(result["median_ms"].get<double>() * 1e-3),
          rate(result, "gflops"),
          share(result, "share_of_ceiling"),
          share(result, "share_of_matmul"),
          rate(result, "gb_per_s"),
          bytes(result, "bytes"),
          bytes(result, "scratch_bytes"),
          bytes(result, "allocated_bytes"),
          bytes(result, "plain_bytes"),
          error(result, "nll_error_nats"),
          error(result, "d_x_relative_error"),
          error(result, "d_w_relative_error"),
          relative,
          result.value("plan", "")};
}

ChartTable table_of(const Json& runs, const std::vector<std::string>& swept) {
  std::vector<std::pair<std::string, std::string>> place{{"tokens", "N"}, {"valid_tokens", "valid"}, {"vocab", "V"}, {"dim", "D"}};
  if (std::ranges::find(swept, "chunk") != swept.end()) place.emplace_back("chunk", "--chunk");
  if (std::ranges::find(swept, "memory_mib") != swept.end()) place.emplace_back("memory_mib", "--memory-mib");
  ChartTable table;
  for (const auto& [key, header] : place) table.header.push_back(header);
  table.header.insert(table.header.end(), {"", "median", "GFLOP/s", "of ceiling", "of matmul", "GB/s", "moved", "scratch", "allocated", "unfused",
                                           "nll error (nats)", "d_x error", "d_w error", "of all valid", "plan"});
  for (const Json& run : runs) {
    const auto add = [&](const std::vector<std::string>& cells) {
      std::vector<std::string> row;
      for (const auto& [key, header] : place) row.push_back(json_text(run["shape"][key]));
      row.insert(row.end(), cells.begin(), cells.end());
      row.resize(table.header.size());
      table.rows.push_back(std::move(row));
    };
    for (const Json& result : run["results"]) add(table_cells(result));
    for (const Json& reason : run.value("left_out", Json::array()))
      add({reason["name"].get<std::string>() + ": " + reason["reason"].get<std::string>()});
  }
  return table;
}

// Common to all runs: "tokens 1024, dim 256".
std::string common_values(const Json& runs) {
  Json common;
  for (const auto& field : runs[0]["shape"].items()) {
    const std::string& key = field.key();
    const bool is_common = std::ranges::all_of(runs, [&](const Json& run) { return run["shape"].value(key, Json()) == field.value(); });
    if (is_common && key != "valid_tokens" && key != "matmul_columns") common[key] = field.value();
  }
  return shape_text(common, ", ");
}

}  // namespace

void write_loss_page(const std::filesystem::path& path, const Json& runs, const std::vector<std::string>& swept,
                     const std::vector<std::string>& facts) {
  ChartPage page{.title = "Linear + cross-entropy: throughput and memory", .facts = facts, .tables = {table_of(runs, swept)}};
  page.facts.push_back(common_values(runs));
  if (swept.empty()) page.charts = bars_of(runs[0]["results"]);
  for (const std::string& key : swept)
    for (const Group& group : groups_along(key, runs, swept)) {
      if (key == "valid_fraction") {
        page.charts.push_back(fraction_chart(key, group));
        continue;
      }
      page.charts.push_back(throughput_chart(key, group));
      page.charts.push_back(share_chart(key, group));
      page.charts.push_back(memory_chart(key, group));
    }
  page.facts.emplace_back("Throughput: FLOPs of the formula, 2NDV to evaluate and 6NDV to train for N valid rows, over the median time.");
  page.facts.emplace_back(
      "Plain matmuls: nt, nn and tn of the same shape together (with columns for at most 256 MiB), interleaved "
      "with the other cases; evaluate is relative to nt alone.");
  page.facts
      .emplace_back("Errors: against double precision on up to 8 rows of x and of w; gradients relative to the largest component of their row.");
  write_chart_page(path, page);
}

}  // namespace lapilli
