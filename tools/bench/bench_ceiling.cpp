// lapilli bench ceiling: peak rates of the device: multiply-adds, copies, launches.

#include "model/matmul/matmul.h"
#include "tools/bench/bench_page.h"
#include "tools/bench/bench_run.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20U;

// Dispatches of doubling duration, up to a second: watchdogs kill after two seconds or more.
struct LongSubmissions {
  double longest_seconds = 0;  // of the dispatches that completed
  std::string ended_by;        // error of the next one; empty: none
  std::string to_string() const {
    const std::string text = fmt::format("longest completed submission: {}", format_seconds(longest_seconds));
    return text + (ended_by.empty() ? "; none was tried that is longer" : fmt::format("; a longer one did not: {}", ended_by));
  }
};
LongSubmissions try_long_submissions(const FmaCeiling& ceiling) {
  LongSubmissions tried;
  try {
    for (double seconds = 0.125; seconds <= 1; seconds *= 2) tried.longest_seconds = ceiling.run_for(seconds);
  } catch (const Error& error) {
    tried.ended_by = error.what();
  } catch (const DeviceLost& lost) {  // a watchdog; the device runs nothing after this
    tried.ended_by = lost.what();
  }
  return tried;
}

std::vector<Chart> charts_of(const nlohmann::ordered_json& results) {
  auto launches = nlohmann::ordered_json::array();
  for (const nlohmann::ordered_json& result : results)
    if (!result.contains("gflops") && !result.contains("gb_per_s")) launches.push_back(result);
  return {chart_rates(results), chart_bars({.title = "Memory", .axis = {.label = "read + written", .unit = "GB/s"}, .key = "gb_per_s"}, results),
          chart_bars({.title = "Launches", .axis = {.label = "time", .unit = "us"}, .key = "median_ms", .factor = 1e3}, launches)};
}

struct CeilingOptions : BenchOptions {
  uint64_t copy_mib = 0;  // 0: by the device
};

void run(const CeilingOptions& options) {
  BenchRun bench(options);
  const uint64_t bytes = options.copy_mib != 0 ? options.copy_mib * kMib : ceiling_copy_bytes(bench.device().caps());
  const Shape shape{static_cast<uint32_t>(bytes / sizeof(float))};
  BenchMemory memory(bench.device());
  const Tensor source = memory.zeros(shape), destination = memory.zeros(shape), word = memory.zeros({1});
  memory.commit();

  TimedProgram copy(bench.kernels(), "copy", [&](Ops& ops) { ops.program.copy(destination.slice(), source.slice()); });
  TimedProgram empty(bench.kernels(), "empty dispatch", [&](Ops& ops) { record_empty_dispatch(ops, word, false); });
  TimedProgram ordered(bench.kernels(), "the same after a barrier", [&](Ops& ops) { record_empty_dispatch(ops, word, true); });
  Program round_trip(bench.device(), "round trip");
  Ops ops{round_trip, bench.kernels()};
  record_empty_dispatch(ops, word, true);
  round_trip.finish();
  const BenchmarkCase submit{"submit and wait", [&] { return wall_seconds([&] { round_trip.run(); }); }};

  std::vector<BenchEntry> entries;
  std::vector<std::unique_ptr<MatrixCeiling>> matrices;
  for (const Precision precision : {Precision::f16, Precision::bf16}) {
    const DeviceCaps& caps = bench.device().caps();
    if (!has_matmul(caps, precision)) continue;
    if (!has_matrix_ceiling(caps, precision)) {
      entries.push_back({.benchmark_case = {.name = fmt::format("{} matrices", to_string(precision)), .run = nullptr},
                         .note = "not measured: a CPU driver's compiler evaluates the constant products at compile time"});
      continue;
    }
    matrices.push_back(std::make_unique<MatrixCeiling>(bench.kernels(), precision));
    entries.push_back({.benchmark_case = matrices.back()->benchmark_case(),
                       .flops = matrices.back()->flops(),
                       .note = matrices.back()->form() + ", f32 sums"});
  }
  entries.push_back({.benchmark_case = copy.benchmark_case(), .bytes = 2.0 * static_cast<double>(bytes), .note = "read + written"});
  entries.push_back({.benchmark_case = empty.benchmark_case()});
  entries.push_back({.benchmark_case = ordered.benchmark_case()});
  entries.push_back({.benchmark_case = submit, .note = "host's clock"});
  BenchReport report = bench.describe("ceiling", {{"copy_bytes", bytes}}, entries, bench.measure(entries));
  const LongSubmissions submissions = try_long_submissions(bench.fma_ceiling());
  report.json["longest_submission_ms"] = submissions.longest_seconds * 1e3;
  if (!submissions.ended_by.empty()) report.json["longer_submission"] = submissions.ended_by;
  report.text += submissions.to_string() + "\n";
  report.page.title = "Ceilings: multiply-adds, copies, launches";
  report.page.facts.push_back(submissions.to_string());
  report.page.charts = charts_of(report.json["results"]);
  bench.publish(report);
}

}  // namespace

void add_bench_ceiling(Command& bench) {
  Command* command =
      bench.add_subcommand("ceiling", "Multiply-adds in f32 and of 16-bit matrices, copy bandwidth, cost of a launch: the device's limits");
  const auto options = std::make_shared<CeilingOptions>();
  command->add_option("--copy-mib", options->copy_mib, "Size of the copy (default: 512, on a CPU 128, less where memory is short)")
      ->check(between(1U, 2047U))
      ->type_name("MIB");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
