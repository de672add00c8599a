#include "tools/commands.h"

namespace lapilli {

void add_device_option(CLI::App& command, std::string& selector) {
  command
      .add_option("--device", selector,
                  "Device by index, UUID or part of its name (see `lapilli devices`); default: the best discrete GPU, then "
                  "integrated, then CPU")
      ->type_name("D");
}

void add_set_option(CLI::App& command, std::vector<std::string>& sets) {
  command.add_option("--set", sets, "Override a key of the configuration, such as --set optim.lr=3e-4; may be repeated")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
}

void add_checkpoint_argument(CLI::App& command, std::string& path) {
  command.add_option("checkpoint", path, "Run folder (its newest checkpoint is taken) or checkpoint folder")
      ->required()
      ->type_name("RUN|CHECKPOINT");
}

CLI::Validator positive() {
  return {[](std::string& text) {
            double value = 0;
            const bool good = CLI::detail::lexical_cast(text, value) && value > 0;
            return good ? std::string() : "'" + text + "' is not a number above 0";
          },
          "", ""};
}

void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    std::error_code ignored;  // what does not exist is not the same
    if (output == input || std::filesystem::equivalent(output, input, ignored))
      throw CLI::ValidationError("-o", "'" + output.string() + "' is also an input; name another output");
  }
}

std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

}  // namespace lapilli
