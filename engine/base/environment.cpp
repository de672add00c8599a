#include "engine/base/environment.h"

#include <cstdlib>

#include "engine/base/error.h"

namespace lapilli {

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

void set_environment_if_unset(const char* name, const char* value) { setenv(name, value, /*overwrite=*/0); }

std::filesystem::path cache_directory() {
  std::filesystem::path directory;
  if (const auto own = environment("LAPILLI_CACHE_DIR")) {
    directory = *own;
  } else if (const auto xdg = environment("XDG_CACHE_HOME")) {
    directory = std::filesystem::path(*xdg) / "lapilli";
  } else if (const auto home = environment("HOME")) {
    directory = std::filesystem::path(*home) / ".cache" / "lapilli";
  } else {
    directory = std::filesystem::temp_directory_path() / "lapilli";
  }
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) throw Error("cannot create the cache folder '{}': {}", directory.string(), failure.message());
  return directory;
}

}  // namespace lapilli
