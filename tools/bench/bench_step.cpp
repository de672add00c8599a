// lapilli bench step: whole optimizer steps of a configuration.

#include <filesystem>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "model/io/config_toml.h"
#include "shaders/embedded_shaders.h"
#include "tools/bench/bench_run.h"
#include "tools/common/console.h"
#include "tools/common/tuning_flags.h"
#include "tools/perf/training_step_bench.h"

namespace lapilli {

namespace {

struct StepBenchOptions : BenchOptions {
  std::string config;
  std::vector<std::string> sets;
  uint32_t vocab_size = 0;
  bool profile = false, explain = false;
  TuningFlags tuning;
  std::string trace;  // a file; empty: none
};

constexpr uint32_t kProfiledSteps = 5;

nlohmann::ordered_json to_json(const StepSummary& summary, const Ceilings& ceilings) {
  auto scopes = nlohmann::ordered_json::array();
  for (const ProfileSpan& row : summary.device.spans) {
    const CeilingShare near = share_of_ceiling(row, ceilings);
    scopes.push_back({{"scope", row.scope},
                      {"calls", row.dispatches},
                      {"ms", row.ns * 1e-6},
                      {"flops", row.flops},
                      {"bytes", row.bytes},
                      {"share_of_ceiling", near.share},
                      {"ceiling", near.of_memory ? "memory" : "compute"}});
  }
  return {{"steps", summary.steps},
          {"step_ms", summary.wall_ns * 1e-6},
          {"host_ms", summary.host_ns * 1e-6},
          {"device_ms", summary.device.total_ns() * 1e-6},
          {"explained", summary.gpu_coverage()},
          {"ceiling_gflops", ceilings.flops_per_s * 1e-9},
          {"ceiling_matrix_gflops", ceilings.matrix_flops_per_s > 0 ? nlohmann::ordered_json(ceilings.matrix_flops_per_s * 1e-9) : nullptr},
          {"ceiling_gb_per_s", ceilings.bytes_per_s * 1e-9},
          {"scopes", std::move(scopes)}};
}

// Time of the step by scope, the longest first, and the share of the roofline of each scope.
void add_profile(ChartPage& page, const nlohmann::ordered_json& profile) {
  if (profile["scopes"].empty()) {
    page.facts.emplace_back("This device has no timestamps: times by scope are not available.");
    return;
  }
  const double step_ms = profile["step_ms"];
  Chart time{.title = "Time by scope", .y = {.label = "of the step", .unit = "%"}, .series = {{.name = "of the step", .points = {}}}};
  Chart nearness{.title = "Share of the roofline", .y = {.label = "of the ceiling", .unit = "%"}, .series = {{"compute", {}}, {"memory", {}}}};
  ChartTable table{.header = {"scope", "calls", "time", "of the step", "GFLOP/s", "GB/s", "of ceiling", ""}};
  for (const nlohmann::ordered_json& scope : profile["scopes"]) {
    const double ms = scope["ms"], share = scope["share_of_ceiling"];
    const bool of_memory = scope["ceiling"] == "memory";
    time.series[0].points.emplace_back(time.bars.size(), 100 * ms / step_ms);
    if (share > 0) nearness.series[of_memory ? 1 : 0].points.emplace_back(time.bars.size(), 100 * share);
    time.bars.push_back(scope["scope"]);
    const auto rate = [&](const char* work) { return ms > 0 ? fmt::format("{:.2f}", scope[work].get<double>() / ms * 1e-6) : ""; };
    table.rows.push_back({scope["scope"], json_text(scope["calls"]), fmt::format("{:.3f} ms", ms), fmt::format("{:.1f} %", 100 * ms / step_ms),
                          rate("flops"), rate("bytes"), share > 0 ? fmt::format("{:.1f} %", 100 * share) : "", share > 0 ? scope["ceiling"] : ""});
  }
  nearness.bars = time.bars;
  page.facts.push_back(fmt::format("Scopes: mean of {} steps, by the device's timestamps; GPU coverage {:.1f} % of a step.",
                                   profile["steps"].get<uint64_t>(), 100 * profile["explained"].get<double>()));
  page.facts.emplace_back("Ceilings: compute, multiply-adds; memory, a copy too large for caches (above 100 %: from caches).");
  page.charts = {std::move(time), std::move(nearness)};
  page.tables.push_back(std::move(table));
}

void run(const StepBenchOptions& options) {
  Config config = load_config(options.config, options.sets);
  set_vocab_size(config, options.vocab_size);
  BenchRun bench(options);
  StatusLine status(nullptr);
  bench.compare_with(config.train.precision);
  Tuner tuner(bench.device().caps(), embedded_shaders_hash(), tuner_options(options.tuning, status));
  resolve_by_measurement(config, bench.kernels(), tuner);
  const bool profiled = options.profile || !options.trace.empty() || !options.html.empty();
  TrainingStepBench step(bench.device(), bench.kernels(), tuner, config, profiled);
  const ModelConfig& model = config.model;
  const double first_seconds = step.run();
  const nlohmann::ordered_json shape{
      {"parameters", step.parameters()}, {"layers", model.layers},          {"heads", model.heads}, {"dim", model.dim}, {"context", model.context},
      {"vocab", model.vocab_size},       {"tokens_per_step", step.tokens()}};
  const std::vector<BenchEntry> entries{
      {.benchmark_case = step.benchmark_case(),
       .flops = step.flops(),
       .facts = {{"tokens_per_step", step.tokens()}, {"memory_bytes", step.memory_bytes()}, {"first_step_ms", first_seconds * 1e3}},
       .note = fmt::format("{} of memory", format_bytes(step.memory_bytes()))}};
  const BenchFigures figures = bench.measure(entries);
  BenchReport report = bench.describe("step", shape, entries, figures);
  if (profiled) {
    const std::vector<StepProfile> steps = step.profile(kProfiledSteps);
    const StepSummary summary = summarize(steps);
    const Ceilings ceilings = measure_ceilings(bench.device(), config.train.precision, MeasureMemory::yes);
    const DeviceCaps& caps = bench.device().caps();
    if (!options.trace.empty()) write_file_atomically(options.trace, trace_json(steps, ceilings, {{"device", caps.name}, {"driver", caps.driver}}));
    report.json["profile"] = to_json(summary, ceilings);
    if (options.profile) report.text += "\nprofile: " + profile_table(summary, ceilings);
    add_profile(report.page, report.json["profile"]);
  }
  if (options.explain) {
    report.json["choices"] = tuning_to_json(tuner.decisions());
    report.text += "\nkernels chosen by measurement:\n" + tuning_table(tuner.decisions());
  }
  report.page.title = fmt::format("A training step of {}", std::filesystem::path(options.config).filename().string());
  bench.publish(report);
}

}  // namespace

void add_bench_step(Command& bench) {
  Command* command = bench.add_subcommand("step", "Whole training steps of a configuration, on random tokens");
  command->footer(
      "Timed by the host's clock, including host work. FLOPs as for MFU: forward and backward by formula.\n"
      "Example: lapilli bench step tools/configs/quickstart.toml --vocab-size 1024 --profile");
  const auto options = std::make_shared<StepBenchOptions>();
  command->add_option("config", options->config, "Configuration")->required()->type_name("CONFIG.toml");
  add_set_option(*command, options->sets);
  command->add_option("--vocab-size", options->vocab_size, "Vocabulary (default: that of the data set)")->check(positive())->type_name("V");
  command->add_flag("--profile", options->profile, "Also the time of every part, by the device's timestamps");
  command->add_flag("--explain", options->explain, "Also list the kernels chosen by measurement and their alternatives");
  add_tuning_options(*command, options->tuning);
  command->add_option("--trace", options->trace, "Write a few steps as a trace for Perfetto or chrome://tracing")->type_name("FILE");
  add_kernels_option(*command, options->kernels);
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
