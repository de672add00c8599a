// lapilli plan: the resources of a run, before it starts.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "model/io/config_toml.h"
#include "model/train/training_memory.h"
#include "shaders/embedded_shaders.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/device_report.h"
#include "tools/common/tuning_flags.h"
#include "tools/perf/ceilings.h"
#include "tools/perf/step_prediction.h"
#include "tools/perf/training_step_bench.h"

namespace lapilli {

namespace {

struct PlanOptions {
  std::string config, device;
  std::vector<std::string> sets;
  uint32_t vocab_size = 0;
  bool no_measure = false, as_json = false;
  std::string save;  // file for the JSON, in addition to the output; empty: none
};

// Predicted and measured time of a step; 0: unknown.
struct StepTimes {
  StepPrediction predicted;
  std::string not_predicted;  // why
  double measured_seconds = 0;
};

// The same run with the opposite train.recompute.
struct Alternative {
  bool recompute = false;
  uint64_t memory_bytes = 0;
  double predicted_seconds = 0;  // of a step; 0: not known
};

// Median seconds of a few steps.
double measure_step(KernelLibrary& kernels, Tuner& tuner, const Config& config) {
  TrainingStepBench step(kernels.device(), kernels, tuner, config, false);
  const BenchmarkCase benchmark_cases[] = {step.benchmark_case()};
  return measure(benchmark_cases, {.seconds_budget = 2, .min_rounds = 2, .max_rounds = 20})[0].median;
}

StepTimes time_step(KernelLibrary& kernels, Tuner& tuner, const Config& config, bool fits) {
  StepTimes times;
  try {
    times.predicted = predict_step(kernels, tuner, config);
  } catch (const Error& error) {  // not even a small part of the model fits
    times.not_predicted = error.what();
  }
  if (fits) times.measured_seconds = measure_step(kernels, tuner, config);
  return times;
}

Alternative turn_recompute(KernelLibrary& kernels, Tuner& tuner, Config config, bool predict) {
  config.train.recompute = !config.train.recompute;
  Alternative other{.recompute = config.train.recompute, .memory_bytes = plan_run(kernels.device(), config).memory_bytes};
  try {
    if (predict) other.predicted_seconds = predict_step(kernels, tuner, config).seconds;
  } catch (const Error&) {  // the memory is still printed
  }
  return other;
}

std::string parts_text(const StepPrediction& predicted) {
  std::string text;
  for (const PredictedPart& part : predicted.parts) {
    if (part.seconds < 0.02 * predicted.seconds) continue;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", part.name, 100 * part.seconds / predicted.seconds);
    // Few FLOPs per byte: memory-bound.
    text += part.flops > 4 * part.bytes ? fmt::format(" at {:.1f} GFLOP/s", part.flops / part.seconds * 1e-9)
                                        : fmt::format(" at {:.1f} GB/s", part.bytes / part.seconds * 1e-9);
  }
  return text;
}

std::string step_text(double step_seconds, const RunPlan& plan, const Config& config, double ceiling) {
  return fmt::format("{} per step ({:.0f} tokens per second, {:.1f} % of the ceiling): {} for {} steps, without evaluation\n",
                     format_seconds(step_seconds), static_cast<double>(plan.tokens_per_step) / step_seconds,
                     100 * plan.flops_per_token * static_cast<double>(plan.tokens_per_step) / step_seconds / ceiling,
                     format_seconds(static_cast<double>(config.train.steps) * step_seconds), group_digits(config.train.steps));
}

void print_plan(const RunPlan& plan, const Config& config, double ceiling, const StepTimes& times, const Alternative& other) {
  const double step_flops = plan.flops_per_token * static_cast<double>(plan.tokens_per_step);
  const auto steps = static_cast<double>(config.train.steps);
  print(fmt::format("parameters       {}\n", group_digits(plan.parameters)));
  print(fmt::format("memory           {} of {} free\n", format_bytes(plan.memory_bytes), format_bytes(plan.available_bytes)));
  for (const auto& [kind, bytes] : plan.kept_bytes) print(fmt::format("  {:<28} {}\n", kind, format_bytes(bytes)));
  for (const auto& [kind, bytes] : plan.scratch_bytes) print(fmt::format("  {:<28} {} (shared)\n", kind, format_bytes(bytes)));
  print(fmt::format("loss             {}\n", plan.loss.to_string()));
  print(fmt::format("work             {:.3f} MFLOP per token, {:.2f} GFLOP per step of {} tokens\n", plan.flops_per_token * 1e-6, step_flops * 1e-9,
                    group_digits(plan.tokens_per_step)));
  print(fmt::format("device           peak {:.0f} GFLOP/s: at least {} per step and {} for {} steps\n", ceiling * 1e-9,
                    format_seconds(step_flops / ceiling), format_seconds(steps * step_flops / ceiling), group_digits(config.train.steps)));
  if (times.predicted.seconds > 0) {
    print("predicted        " + step_text(times.predicted.seconds, plan, config, ceiling));
    if (const std::string parts = parts_text(times.predicted); !parts.empty()) print("                 " + parts + "\n");
  }
  if (!times.not_predicted.empty()) print("predicted        not: " + times.not_predicted + "\n");
  if (times.measured_seconds > 0) print("measured         " + step_text(times.measured_seconds, plan, config, ceiling));
  print(fmt::format("train.recompute  {} would take {} of memory{}\n", other.recompute ? "= true" : "= false", format_bytes(other.memory_bytes),
                    other.predicted_seconds > 0 ? fmt::format(" and, predicted, {} per step", format_seconds(other.predicted_seconds)) : ""));
}

nlohmann::ordered_json to_json(const RunPlan& plan, const Config& config, const DeviceCaps& caps, double ceiling, const StepTimes& times,
                               const Alternative& other) {
  nlohmann::ordered_json json{{"device", device_to_json(caps)},  {"parameters", plan.parameters},       {"tokens_per_step", plan.tokens_per_step},
                              {"steps", config.train.steps},     {"memory_bytes", plan.memory_bytes},   {"available_bytes", plan.available_bytes},
                              {"kept_bytes", plan.kept_bytes},   {"scratch_bytes", plan.scratch_bytes}, {"flops_per_token", plan.flops_per_token},
                              {"ceiling_gflops", ceiling * 1e-9}};
  if (const double seconds = times.predicted.seconds; seconds > 0) {
    auto parts = nlohmann::ordered_json::array();
    for (const PredictedPart& part : times.predicted.parts)
      parts.push_back({{"name", part.name}, {"ms", part.seconds * 1e3}, {"flops", part.flops}, {"bytes", part.bytes}});
    json.update({{"predicted_step_ms", seconds * 1e3},
                 {"predicted_tokens_per_s", static_cast<double>(plan.tokens_per_step) / seconds},
                 {"predicted_seconds", seconds * static_cast<double>(config.train.steps)},
                 {"predicted_parts", std::move(parts)}});
  }
  nlohmann::ordered_json alternative{{"recompute", other.recompute}, {"memory_bytes", other.memory_bytes}};
  if (other.predicted_seconds > 0) alternative["predicted_step_ms"] = other.predicted_seconds * 1e3;
  json["alternative"] = std::move(alternative);
  if (!times.not_predicted.empty()) json["not_predicted"] = times.not_predicted;
  if (const double seconds = times.measured_seconds; seconds > 0)
    json.update({{"step_ms", seconds * 1e3},
                 {"tokens_per_s", static_cast<double>(plan.tokens_per_step) / seconds},
                 {"seconds", seconds * static_cast<double>(config.train.steps)}});
  return json;
}

void plan(const PlanOptions& options) {
  Config config = load_config(options.config, options.sets);
  set_vocab_size(config, options.vocab_size);
  Device device({.selector = options.device});
  KernelLibrary kernels(device, embedded_shaders());
  StatusLine status(nullptr);
  Tuner tuner(device.caps(), embedded_shaders_hash(), tuner_options({.no_tune = options.no_measure}, status));
  resolve_by_measurement(config, kernels, tuner);
  const RunPlan made = plan_run(device, config);
  const double ceiling = measure_ceilings(device, config.train.precision, MeasureMemory::no).matmul_flops_per_s();
  const bool fits = made.memory_bytes <= made.available_bytes;
  const StepTimes times = options.no_measure ? StepTimes{} : time_step(kernels, tuner, config, fits);
  const Alternative other = turn_recompute(kernels, tuner, config, !options.no_measure);
  const std::string json = json_text(to_json(made, config, device.caps(), ceiling, times, other), 2) + "\n";
  if (!options.save.empty()) write_file_atomically(options.save, json);
  if (options.as_json) return print(json);
  print(fmt::format("{} ({})\n", device.caps().name, device.caps().driver));
  print_plan(made, config, ceiling, times, other);
  if (!fits) print("This does not fit: lower data.batch (and raise data.accumulate), model.context or loss.memory_mib.\n");
}

}  // namespace

void add_plan_command(Command& program) {
  Command* command = program.add_subcommand("plan", "Resources of a run: parameters, memory, work and time");
  command->footer(
      "Runs a few steps on random tokens to measure the time: first with two layers, to predict the whole model, then with the\n"
      "whole model, if it fits. Also prints memory and time with the opposite train.recompute. Starts no run.\n"
      "Example: lapilli plan tools/configs/quickstart.toml --vocab-size 1024");
  const auto options = std::make_shared<PlanOptions>();
  command->add_option("config", options->config, "Configuration")->required()->type_name("CONFIG.toml");
  add_set_option(*command, options->sets);
  command->add_option("--vocab-size", options->vocab_size, "Vocabulary (default: that of the data set)")->check(positive())->type_name("V");
  command->add_flag("--no-measure,--estimate", options->no_measure, "Run no steps: use only the formulas and the device's peak rate");
  add_device_option(*command, options->device);
  command->add_flag("--json", options->as_json, "Print a JSON object instead of text");
  add_save_option(*command, options->save);
  command->callback([options] { plan(*options); });
}

}  // namespace lapilli
