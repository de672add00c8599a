// lapilli plan: what a run will take, before it is started.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/plan.h"
#include "tools/commands.h"
#include "tools/console.h"
#include "tools/device_report.h"
#include "tools/fma_ceiling.h"
#include "tools/step_bench.h"

namespace lapilli {

namespace {

struct PlanOptions {
  std::string config, device;
  std::vector<std::string> sets;
  uint32_t vocab_size = 0;
  bool estimate_only = false, as_json = false;
};

// Median seconds of a few steps.
double measure_step(KernelLibrary& kernels, const Config& config) {
  StepBench step(kernels.device(), kernels, config, false);
  const Contender contenders[] = {step.contender()};
  return measure(contenders, {.seconds_budget = 2, .fewest = 2, .most = 20})[0].median;
}

void print_plan(const RunPlan& plan, const Config& config, double ceiling, double step_seconds) {
  const double step_flops = plan.flops_per_token * static_cast<double>(plan.tokens_per_step);
  const auto steps = static_cast<double>(config.train.steps);
  print(fmt::format("parameters       {}\n", group_digits(plan.parameters)));
  print(fmt::format("memory           {} of {} free\n", format_bytes(plan.memory_bytes), format_bytes(plan.available_bytes)));
  for (const auto& [kind, bytes] : plan.kept_bytes) print(fmt::format("  {:<28} {}\n", kind, format_bytes(bytes)));
  for (const auto& [kind, bytes] : plan.scratch_bytes) print(fmt::format("  {:<28} {} (shared)\n", kind, format_bytes(bytes)));
  print(fmt::format("loss             {}\n", plan.loss.describe()));
  print(fmt::format("work             {:.3f} MFLOP per token, {:.2f} GFLOP per step of {} tokens\n", plan.flops_per_token * 1e-6,
                    step_flops * 1e-9, group_digits(plan.tokens_per_step)));
  print(fmt::format("device           at most {:.0f} GFLOP/s: {} per step and {} for {} steps, never less\n", ceiling * 1e-9,
                    format_seconds(step_flops / ceiling), format_seconds(steps * step_flops / ceiling), group_digits(config.train.steps)));
  if (step_seconds > 0)
    print(fmt::format("measured         {} per step ({:.0f} tokens per second, {:.1f} % of the ceiling): {} for {} steps, without evaluation\n",
                      format_seconds(step_seconds), static_cast<double>(plan.tokens_per_step) / step_seconds,
                      100 * step_flops / step_seconds / ceiling, format_seconds(steps * step_seconds), group_digits(config.train.steps)));
}

nlohmann::ordered_json to_json(const RunPlan& plan, const Config& config, const DeviceCaps& caps, double ceiling, double step_seconds) {
  nlohmann::ordered_json json{{"device", device_to_json(caps)},
                              {"parameters", plan.parameters},
                              {"tokens_per_step", plan.tokens_per_step},
                              {"steps", config.train.steps},
                              {"memory_bytes", plan.memory_bytes},
                              {"available_bytes", plan.available_bytes},
                              {"kept_bytes", plan.kept_bytes},
                              {"scratch_bytes", plan.scratch_bytes},
                              {"flops_per_token", plan.flops_per_token},
                              {"ceiling_gflops", ceiling * 1e-9}};
  if (step_seconds > 0) json.update({{"step_ms", step_seconds * 1e3}, {"seconds", step_seconds * static_cast<double>(config.train.steps)}});
  return json;
}

void plan(const PlanOptions& options) {
  Config config = load_config(options.config, options.sets);
  set_vocab_size(config, options.vocab_size);
  Device device({.selector = options.device});
  KernelLibrary kernels(device);
  settle_by_measurement(config, kernels, !options.estimate_only);
  const RunPlan made = plan_run(device, config);
  const double ceiling = measure_fma_ceiling(device);
  const bool fits = made.memory_bytes <= made.available_bytes;
  const double step_seconds = options.estimate_only || !fits ? 0 : measure_step(kernels, config);
  if (options.as_json) return print(to_json(made, config, device.caps(), ceiling, step_seconds).dump(2) + "\n");
  print(fmt::format("{} ({})\n", device.caps().name, device.caps().driver));
  print_plan(made, config, ceiling, step_seconds);
  if (!fits) print("This does not fit: lower data.batch (and raise data.accumulate), model.context or loss.memory_mib.\n");
}

}  // namespace

void add_plan_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("plan", "What a run will take: parameters, memory, work and time");
  command->footer("Runs a few steps on random tokens to tell the time; writes nothing.\n"
                  "Example: lapilli plan tools/configs/quickstart.toml --vocab-size 1024");
  const auto options = std::make_shared<PlanOptions>();
  command->add_option("config", options->config, "Configuration")->required()->type_name("CONFIG.toml");
  add_set_option(*command, options->sets);
  command->add_option("--vocab-size", options->vocab_size, "Vocabulary (default: that of the data set)")->check(positive())->type_name("V");
  command->add_flag("--estimate", options->estimate_only, "Run no steps: only what follows from the formulas and the device's ceiling");
  add_device_option(*command, options->device);
  command->add_flag("--json", options->as_json, "Print a JSON object instead of text");
  command->callback([options] { plan(*options); });
}

}  // namespace lapilli
