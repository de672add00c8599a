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
