// lapilli bench step: whole optimizer steps of a configuration.

#include "tools/bench.h"
#include "tools/console.h"
#include "tools/step_bench.h"

namespace lapilli {

namespace {

struct StepBenchOptions : BenchOptions {
  std::string config;
  std::vector<std::string> sets;
  uint32_t vocab_size = 0;
  bool profile = false;
};

void run(const StepBenchOptions& options) {
  Config config = load_config(options.config, options.sets);
  set_vocab_size(config, options.vocab_size);
  BenchRun bench(options);
  settle_by_measurement(config, bench.kernels());
  StepBench step(bench.device(), bench.kernels(), config, options.profile);
  const ModelConfig& model = config.model;
  const double first_seconds = step.run();
  bench.report("step",
               {{"parameters", step.parameters()}, {"layers", model.layers}, {"heads", model.heads}, {"dim", model.dim},
                {"context", model.context}, {"vocab", model.vocab_size}, {"tokens_per_step", step.tokens()}},
               {{.contender = step.contender(),
                 .flops = step.flops(),
                 .facts = {{"tokens_per_step", step.tokens()},
                           {"memory_bytes", step.memory_bytes()},
                           {"first_step_ms", first_seconds * 1e3}},
                 .note = fmt::format("{} of memory", format_bytes(step.memory_bytes()))}});
  if (options.profile && !options.as_json) print("\n" + step.profile());
}

}  // namespace

void add_bench_step(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("step", "Whole training steps of a configuration, on random tokens");
  command->footer("Timed by the host's clock, its own work included. FLOPs as for MFU: forward and backward by formula.\n"
                  "Example: lapilli bench step tools/configs/quickstart.toml --vocab-size 1024 --profile");
  const auto options = std::make_shared<StepBenchOptions>();
  command->add_option("config", options->config, "Configuration")->required()->type_name("CONFIG.toml");
  add_set_option(*command, options->sets);
  command->add_option("--vocab-size", options->vocab_size, "Vocabulary (default: that of the data set)")->check(positive())->type_name("V");
  command->add_flag("--profile", options->profile, "Also the time of every part, by the device's timestamps");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
