// lapilli bench: performance of the parts on this device, compared with the device's peak rates.

#include <algorithm>
#include <cmath>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "shaders/embedded_shaders.h"
#include "tools/bench/bench_page.h"
#include "tools/bench/bench_run.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/device_report.h"
#include "tools/common/tuning_flags.h"

namespace lapilli {

BenchRun::BenchRun(const BenchOptions& options)
    : options_(options), device_({.selector = options.device, .kernel_class = options.kernels}), kernels_(device_, embedded_shaders()) {}

namespace {

nlohmann::ordered_json timing_to_json(const Timing& timing) {
  return {{"median_ms", timing.median * 1e3},
          {"lower_quartile_ms", timing.lower_quartile * 1e3},
          {"upper_quartile_ms", timing.upper_quartile * 1e3},
          {"min_ms", timing.min * 1e3},
          {"max_ms", timing.max * 1e3},
          {"repeats", timing.repeats}};
}

std::string rate(double work, double seconds) { return work == 0 ? "" : fmt::format("{:.1f}", work / seconds * 1e-9); }

nlohmann::ordered_json result_to_json(const BenchEntry& entry, const Timing& timing, double ceiling_rate) {
  nlohmann::ordered_json result{{"name", timing.name}};
  result.update(timing_to_json(timing));
  const double flop_rate = entry.flops / timing.median;
  if (entry.flops > 0) result.update({{"flops", entry.flops}, {"gflops", flop_rate * 1e-9}, {"share_of_ceiling", flop_rate / ceiling_rate}});
  if (entry.bytes > 0) result.update({{"bytes", entry.bytes}, {"gb_per_s", entry.bytes / timing.median * 1e-9}});
  result.update(entry.facts);
  return result;
}

nlohmann::ordered_json reason_to_json(const BenchEntry& entry) {
  nlohmann::ordered_json reason{{"name", entry.benchmark_case.name}, {"reason", entry.note}};
  reason.update(entry.facts);
  return reason;
}

// The additional columns of the entries, each once, in order of appearance.
std::vector<std::string> further_columns(const std::vector<BenchEntry>& entries) {
  std::vector<std::string> headers;
  for (const BenchEntry& entry : entries)
    for (const auto& [header, text] : entry.cells)
      if (std::ranges::find(headers, header) == headers.end()) headers.push_back(header);
  return headers;
}

std::vector<std::string> table_row(const BenchEntry& entry, const Timing& timing, double ceiling_rate, const std::vector<std::string>& further) {
  std::vector<std::string> row{entry.benchmark_case.name, "", "", "", "", ""};
  if (timing.repeats > 0)
    row = {timing.name,
           format_seconds(timing.median),
           format_seconds(timing.lower_quartile) + " - " + format_seconds(timing.upper_quartile),
           rate(entry.flops, timing.median),
           entry.flops == 0 ? "" : fmt::format("{:.1f} %", 100 * entry.flops / timing.median / ceiling_rate),
           rate(entry.bytes, timing.median)};
  for (const std::string& header : further) {
    const auto cell = std::ranges::find(entry.cells, header, &std::pair<std::string, std::string>::first);
    row.push_back(cell == entry.cells.end() ? "" : cell->second);
  }
  row.push_back(entry.note);
  return row;
}

}  // namespace

void BenchRun::compare_with(Precision precision) {
  matrix_ceiling_.reset();
  if (has_matrix_ceiling(device_.caps(), precision)) matrix_ceiling_.emplace(kernels_, precision);
  device_.set_measured_peak(fma_ceiling().flops_per_s());  // so that work is split as in training
}

FmaCeiling& BenchRun::fma_ceiling() {
  if (!fma_ceiling_) fma_ceiling_.emplace(kernels_);
  return *fma_ceiling_;
}

BenchRun::Ceiling BenchRun::ceiling() {
  if (matrix_ceiling_) return {matrix_ceiling_->benchmark_case(), matrix_ceiling_->flops(), matrix_ceiling_->form()};
  FmaCeiling& multiply_adds = fma_ceiling();
  return {multiply_adds.benchmark_case(), multiply_adds.flops(), multiply_adds.form()};
}

BenchFigures BenchRun::measure(const std::vector<BenchEntry>& entries) {
  const Ceiling limit = ceiling();
  std::vector<BenchmarkCase> benchmark_cases{limit.benchmark_case};
  for (const BenchEntry& entry : entries)
    if (entry.benchmark_case.run) benchmark_cases.push_back(entry.benchmark_case);
  const std::vector<Timing> measured = lapilli::measure(benchmark_cases, {.repeats = options_.repeats, .seconds_budget = options_.seconds});
  BenchFigures figures{.ceiling = measured[0], .ceiling_rate = limit.flops / measured[0].median, .timings = {}};
  size_t next = 1;
  for (const BenchEntry& entry : entries) figures.timings.push_back(entry.benchmark_case.run ? measured[next++] : Timing{});
  return figures;
}

BenchReport BenchRun::describe(const std::string& bench, const nlohmann::ordered_json& shape, const std::vector<BenchEntry>& entries,
                               const BenchFigures& figures) {
  const Ceiling limit = ceiling();
  auto results = nlohmann::ordered_json::array(), left_out = nlohmann::ordered_json::array();
  const std::vector<std::string> further = further_columns(entries);
  std::vector<std::string> header{"", "median", "quartiles", "GFLOP/s", "of ceiling", "GB/s"};
  header.insert(header.end(), further.begin(), further.end());
  header.push_back("");
  TextTable table(header);
  ChartTable page_table{.header = header};
  const auto add = [&](const BenchEntry& entry, const Timing& timing) {
    page_table.rows.push_back(table_row(entry, timing, figures.ceiling_rate, further));
    table.add(page_table.rows.back());
    if (timing.repeats > 0) results.push_back(result_to_json(entry, timing, figures.ceiling_rate));
    else left_out.push_back(reason_to_json(entry));
  };
  add({.benchmark_case = {.name = figures.ceiling.name, .run = nullptr}, .flops = limit.flops, .facts = {{"form", limit.form}}, .note = limit.form},
      figures.ceiling);
  for (size_t i = 0; i < entries.size(); ++i) add(entries[i], figures.timings[i]);

  BenchReport report{
      .json = {{"bench", bench},
               {"device", device_to_json(device_.caps())},
               {"shape", shape},
               {"ceiling_gflops", figures.ceiling_rate * 1e-9},
               {"results", std::move(results)}},
      .text = fmt::format("{}: {}; {} rounds, interleaved\n{}", bench, shape_text(shape, " "), figures.ceiling.repeats, table.to_string()),
      .page = {.facts = page_facts(), .tables = {std::move(page_table)}}};
  report.page.facts.push_back(fmt::format("{}; {} rounds, interleaved", shape_text(shape, ", "), figures.ceiling.repeats));
  if (!left_out.empty()) report.json["left_out"] = std::move(left_out);
  return report;
}

std::string BenchRun::device_line() const {
  return fmt::format("{} ({}, {} lanes)", device_.caps().name, device_.caps().driver, device_.caps().subgroup_size);
}

std::vector<std::string> BenchRun::page_facts() const { return {device_line(), command_line(*options_.command), utc_date()}; }

void BenchRun::publish(const BenchReport& report) const {
  save(report.json);
  if (!options_.html.empty()) write_chart_page(options_.html, report.page);
  print(options_.as_json ? json_text(report.json, 2) + "\n" : device_line() + "\n" + report.text);
}

void BenchRun::save(const nlohmann::ordered_json& json) const {
  if (!options_.save.empty()) write_file_atomically(options_.save, json_text(json, 2) + "\n");
}

namespace {

struct ExplainOptions {
  std::string device;
  bool explain = false, as_json = false;
};

void explain(const ExplainOptions& options) {
  const Device device({.selector = options.device, .record_only = true});
  const TuningRecords known = Tuner(device.caps(), embedded_shaders_hash()).known();
  if (options.as_json) return print(json_text(tuning_to_json(known), 2) + "\n");
  print(known.empty() ? "no kernels have been measured on this device yet; run lapilli train or lapilli bench step\n" : tuning_table(known));
}

}  // namespace

void add_bench_command(Command& program) {
  Command* bench = program.add_subcommand("bench", "Measure kernels and training steps on a device");
  const auto options = std::make_shared<ExplainOptions>();
  bench->add_flag("--explain", options->explain, "List the kernels chosen by measurement on the device and their alternatives");
  bench->add_flag("--json", options->as_json, "With --explain: print JSON instead of a table");
  add_device_option(*bench, options->device);
  bench->callback([bench, options] {
    if (bench->has_chosen_subcommand()) return;
    if (!options->explain) throw_missing_command();
    explain(*options);
  });
  bench->footer(
      "All benches but kernels use the device's timestamps, interleaved with its multiply-add ceiling; GFLOP/s count the "
      "FLOPs\nof the formula.");
  add_bench_ceiling(*bench);
  add_bench_matmul(*bench);
  add_bench_attention(*bench);
  add_bench_loss(*bench);
  add_bench_step(*bench);
  add_bench_generate(*bench);
  add_bench_kernels(*bench);
}

}  // namespace lapilli
