// lapilli bench: how fast the parts are on this device, next to what the device can do.

#include <cmath>

#include "tools/bench.h"
#include "tools/commands.h"
#include "tools/console.h"
#include "tools/device_report.h"

namespace lapilli {

void add_bench_options(CLI::App& command, BenchOptions& options) {
  add_device_option(command, options.device);
  command.add_option("--repeats", options.repeats, "Rounds of measurement (default: what fits into --seconds, 3 to 50)")
      ->check(positive())
      ->type_name("R");
  command.add_option("--seconds", options.seconds, "Time to spend on measuring")
      ->check(positive())
      ->type_name("S")
      ->capture_default_str();
  command.add_flag("--json", options.as_json, "Print JSON instead of a table");
}

void require_indexable(const char* what, uint64_t rows, uint64_t cols) {
  if (rows * cols >= uint64_t{1} << 31U)
    throw CLI::ValidationError("shape", fmt::format("{} would be {} x {}; kernels index fewer than 2^31 elements", what, rows, cols));
}

BenchRun::BenchRun(const BenchOptions& options) : options_(options), device_({.selector = options.device}), kernels_(device_) {}

namespace {

nlohmann::ordered_json timing_to_json(const Timing& timing) {
  return {{"median_ms", timing.median * 1e3}, {"lower_quartile_ms", timing.lower_quartile * 1e3},
          {"upper_quartile_ms", timing.upper_quartile * 1e3}, {"min_ms", timing.min * 1e3},
          {"max_ms", timing.max * 1e3}, {"repeats", timing.repeats}};
}

std::string rate(double work, double seconds) { return work == 0 ? "" : fmt::format("{:.1f}", work / seconds * 1e-9); }

}  // namespace

void BenchRun::report(const std::string& bench, const nlohmann::ordered_json& shape, std::vector<BenchEntry> entries) {
  FmaCeiling ceiling(kernels_);
  std::vector<Contender> contenders{ceiling.contender()};
  for (const BenchEntry& entry : entries) contenders.push_back(entry.contender);
  const std::vector<Timing> timings = measure(
      contenders, {.repeats = options_.repeats, .seconds_budget = options_.seconds});
  const double ceiling_rate = ceiling.flops() / timings[0].median;

  auto results = nlohmann::ordered_json::array();
  TextTable table({"", "median", "quartiles", "GFLOP/s", "of ceiling", "GB/s", ""});
  const auto add = [&](const Timing& timing, const BenchEntry& entry) {
    const double share = entry.flops / timing.median / ceiling_rate;
    table.add({timing.name, format_seconds(timing.median),
               format_seconds(timing.lower_quartile) + " - " + format_seconds(timing.upper_quartile),
               rate(entry.flops, timing.median), entry.flops == 0 ? "" : fmt::format("{:.1f} %", 100 * share),
               rate(entry.bytes, timing.median), entry.note});
    nlohmann::ordered_json result{{"name", timing.name}};
    result.update(timing_to_json(timing));
    if (entry.flops > 0) result.update({{"flops", entry.flops}, {"gflops", entry.flops / timing.median * 1e-9}, {"share_of_ceiling", share}});
    if (entry.bytes > 0) result.update({{"bytes", entry.bytes}, {"gb_per_s", entry.bytes / timing.median * 1e-9}});
    result.update(entry.facts);
    results.push_back(std::move(result));
  };
  add(timings[0], {.contender = {}, .flops = ceiling.flops(), .facts = {{"form", ceiling.form()}}, .note = ceiling.form()});
  for (size_t i = 0; i < entries.size(); ++i) add(timings[i + 1], entries[i]);

  if (options_.as_json) {
    const nlohmann::ordered_json report{{"bench", bench},
                                        {"device", device_to_json(device_.caps())},
                                        {"shape", shape},
                                        {"ceiling_gflops", ceiling_rate * 1e-9},
                                        {"results", results}};
    return print(report.dump(2) + "\n");
  }
  print(fmt::format("{} ({}, {} lanes)\n", device_.caps().name, device_.caps().driver, device_.caps().subgroup_size));
  std::string facts;
  for (const auto& [key, value] : shape.items()) facts += fmt::format(" {} {}", key, value.dump());
  print(fmt::format("{}:{}; {} rounds in turn\n", bench, facts, timings[0].repeats));
  print(table.to_string());
}

void add_bench_command(CLI::App& program) {
  CLI::App* bench = program.add_subcommand("bench", "Measure kernels and training steps on a device");
  require_command(*bench);
  bench->footer("Everything is timed by the device's own timestamps, in turn with its multiply-add ceiling; GFLOP/s count what "
                "the\nformula asks for, whatever the kernel does.");
  add_bench_ceiling(*bench);
  add_bench_matmul(*bench);
  add_bench_attention(*bench);
  add_bench_loss(*bench);
  add_bench_step(*bench);
}

}  // namespace lapilli
