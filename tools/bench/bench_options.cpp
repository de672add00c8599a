// Options shared by several benches, with their checks.

#include <algorithm>

#include "model/io/config_toml.h"
#include "model/matmul/matmul.h"
#include "tools/bench/bench_run.h"

namespace lapilli {

void add_bench_options(Command& command, BenchOptions& options) {
  add_device_option(command, options.device);
  command.add_option("--repeats", options.repeats, "Rounds of measurement (default: what fits into --seconds, 3 to 50)")
      ->check(positive())
      ->type_name("R");
  command.add_option("--seconds", options.seconds, "Time to spend on measuring")->check(positive())->type_name("S")->capture_default_str();
  command.add_flag("--json", options.as_json, "Print JSON instead of a table");
  add_save_option(command, options.save);
  command.add_option("--html", options.html, "Write a page with charts and a table")->type_name("FILE");
  options.command = &command;
}

void require_indexable(const char* what, uint64_t rows, uint64_t cols) {
  if (rows * cols >= uint64_t{1} << 31U)
    throw UsageError("shape", fmt::format("{} would be {} x {}; kernels index fewer than 2^31 elements", what, rows, cols));
}

KernelClass parse_kernel_class(const std::string& name, Precision precision, std::initializer_list<KernelClass> known, const char* about) {
  const auto found = std::ranges::find(known, name, [](KernelClass each) { return std::string(to_string(each)); });
  if (found != known.end() && MatmulKernel{.kernel_class = *found}.uses_coopmat() == (precision != Precision::f32)) return *found;
  throw UsageError("--kernel", fmt::format("no kernel '{}' for {}: {}", name, to_string(precision), about));
}

void add_config_options(Command& command, ShapesFromConfig& from, std::initializer_list<Option*> excluded) {
  Option* config =
      command.add_option("--config", from.config, "Take shapes and, without --dtype, the precision from a configuration")->type_name("CONFIG.toml");
  for (Option* option : excluded) config->excludes(option);
  add_set_option(command, from.sets);
  command.get_option("--set")->needs(config);
}

std::optional<Config> load_shapes(const ShapesFromConfig& from, const Command& command, Precision& precision) {
  if (from.config.empty()) return std::nullopt;
  const Config config = load_config(from.config, from.sets);
  if (command.count("--dtype") == 0) precision = config.train.precision;
  return config;
}

}  // namespace lapilli
