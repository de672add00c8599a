#include "tools/common/command_options.h"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/base/error.h"

namespace lapilli {

namespace {

// Sorted by their bytes, whatever the language of the user.
std::vector<std::string> files_that_match(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, decltype(&globfree)> owner(&found, globfree);
  const int failure = glob(pattern.c_str(), GLOB_ERR, nullptr, &found);
  if (failure != 0 && failure != GLOB_NOMATCH) throw Error("cannot look for '{}': {}", pattern, std::strerror(errno));
  std::vector<std::string> names(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  std::ranges::sort(names);
  return names;
}

}  // namespace

void add_device_option(Command& command, std::string& selector) {
  command
      .add_option("--device", selector,
                  "Device by index, UUID or part of its name (see `lapilli devices`); default: the best discrete GPU, then "
                  "integrated, then CPU")
      ->type_name("D");
}

void add_kernels_option(Command& command, std::optional<KernelClass>& kernels) {
  std::vector<std::string> names;
  for (const KernelClass each : kKernelClasses) names.emplace_back(to_string(each));
  const auto set = [&kernels](const std::string& name) {
    for (const KernelClass each : kKernelClasses)
      if (name == to_string(each)) kernels = each;
  };
  command.add_option_function("--kernels", set, "Family of kernels: cpu, tiled (f32), coopmat or coopmat2 (16-bit); default: by the device")
      ->check(one_of(names, InHelp::hidden))
      ->type_name("CLASS");
}

void add_set_option(Command& command, std::vector<std::string>& sets) {
  command.add_option("--set", sets, "Override a key of the configuration, such as --set optim.lr=3e-4; may be repeated")
      ->one_value_each()
      ->type_name("KEY=VALUE");
}

void add_save_option(Command& command, std::string& path) { command.add_option("--save", path, "Also write the JSON to a file")->type_name("FILE"); }

void add_dtype_option(Command& command, Precision& precision, const char* help) {
  const auto set = [&precision](const std::string& name) {
    for (const Precision each : {Precision::f32, Precision::f16, Precision::bf16})
      if (name == to_string(each)) precision = each;
  };
  command.add_option_function("--dtype", set, help)->check(one_of({"f32", "f16", "bf16"}, InHelp::hidden))->type_name("TYPE")->default_str("f32");
}

void add_checkpoint_argument(Command& command, std::string& path) {
  command.add_option("checkpoint", path, "Run folder (uses its newest checkpoint) or checkpoint folder")->required()->type_name("RUN|CHECKPOINT");
}

void require_other_output(const std::filesystem::path& output, const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    std::error_code ignored;  // a missing file has no other name
    if (output.lexically_normal() == std::filesystem::path(input).lexically_normal() || std::filesystem::equivalent(output, input, ignored))
      throw UsageError("-o", "'" + output.string() + "' is also an input; name another output");
  }
}

std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) {
    std::error_code ignored;
    if (name.find_first_of("*?[") == std::string::npos || std::filesystem::exists(name, ignored)) {
      paths.emplace_back(name);
      continue;
    }
    const std::vector<std::string> found = files_that_match(name);
    if (found.empty()) throw Error("no file matches '{}'", name);
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return paths;
}

}  // namespace lapilli
