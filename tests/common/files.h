#pragma once
// Helpers for tests with files: temporary folders and error messages.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

namespace lapilli::testing {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    static std::atomic<int> counter = 0;
    path_ = fs::temp_directory_path() / fmt::format("lapilli-test-{}-{}", getpid(), counter++);
    fs::create_directories(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  fs::path operator/(std::string_view name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

  fs::path write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

  // Names of everything in it, hidden files too.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }

 private:
  fs::path path_;
};

// The message of the Error that `action` throws; empty if it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

#define EXPECT_ERROR_MENTIONS(message, ...)                                                                 \
  do {                                                                                                      \
    const std::string message_text = (message);                                                             \
    EXPECT_FALSE(message_text.empty()) << "no Error was thrown";                                            \
    EXPECT_EQ(message_text.find('\n'), std::string::npos) << "more than one line: " << message_text;        \
    for (const std::string& mentioned : std::initializer_list<std::string>{__VA_ARGS__}) {                   \
      EXPECT_NE(message_text.find(mentioned), std::string::npos) << "'" << mentioned << "' not in: " << message_text; \
    }                                                                                                       \
  } while (false)

}  // namespace lapilli::testing
