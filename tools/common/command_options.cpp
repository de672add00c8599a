#include "tools/common/command_options.h"

namespace lapilli {

void add_device_option(Command& command, std::string& selector) {
  command
      .add_option("--device", selector,
                  "Device by index, UUID or part of its name (see `lapilli devices`); default: the best discrete GPU, then "
                  "integrated, then CPU")
      ->type_name("D");
}

void add_set_option(Command& command, std::vector<std::string>& sets) {
  command.add_option("--set", sets, "Override a key of the configuration, such as --set optim.lr=3e-4; may be repeated")
      ->one_value_each()
      ->type_name("KEY=VALUE");
}

void add_save_option(Command& command, std::string& path) {
  command.add_option("--save", path, "Also write the JSON to a file")->type_name("FILE");
}

void add_checkpoint_argument(Command& command, std::string& path) {
  command.add_option("checkpoint", path, "Run folder (uses its newest checkpoint) or checkpoint folder")
      ->required()
      ->type_name("RUN|CHECKPOINT");
}

void require_command(Command& parent) {
  parent.callback([&parent] {
    if (parent.get_subcommands().empty()) complain_of_missing_command();
  });
}

namespace {

CLI::Validator number_that(const char* what, bool (*good)(double)) {
  return {[=](std::string& text) {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && good(value)) return std::string();
            return "'" + text + "' is not a number " + what;
          },
          "", ""};
}

}  // namespace

CLI::Validator positive() {
  return number_that("above 0", [](double value) { return value > 0 && std::isfinite(value); });
}

CLI::Validator not_negative() {
  return number_that("of at least 0", [](double value) { return value >= 0 && std::isfinite(value); });
}

CLI::Validator as_size() {
  return {[](std::string& text) {
            uint64_t number = 0;
            const char* end = text.data() + text.size();
            const auto [rest, failure] = std::from_chars(text.data(), end, number);
            const std::string suffix(rest, end);
            uint64_t factor = 0;
            if (suffix.empty()) factor = 1;
            if (suffix == "k" || suffix == "K") factor = 1000;
            if (suffix == "m" || suffix == "M") factor = 1000 * 1000;
            if (suffix == "g" || suffix == "G") factor = 1000 * 1000 * 1000;
            if (failure != std::errc() || factor == 0 || number == 0 || number > UINT64_MAX / factor)
              return "'" + text + "' is not a size such as 500000, 500k, 20M or 1G";
            text = std::to_string(number * factor);
            return std::string();
          },
          "", ""};
}

void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    std::error_code ignored;  // a missing file has no other name
    if (output.lexically_normal() == std::filesystem::path(input).lexically_normal() ||
        std::filesystem::equivalent(output, input, ignored))
      throw UsageError("-o", "'" + output.string() + "' is also an input; name another output");
  }
}

std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

}  // namespace lapilli
