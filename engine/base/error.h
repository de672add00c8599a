#pragma once
// The three kinds of failure.
//
//  Error  a runtime or user error (a file, a device, a setting): thrown by the libraries, caught once in main() and
//         printed as one clear sentence that names the cause and the remedy; exit code 1.
//  DeviceLost  the driver lost the device: it runs nothing more in this process. Not an Error, so that code which
//         continues after an Error (a failed measurement) does not continue after this; main() prints it like an Error.
//  CHECK  a failed check, a bug in the program: prints the expression, the values and the place, then aborts. Active in
//         every build type.

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace lapilli {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& sentence) : std::runtime_error(sentence) {}

  template <typename... Args>
    requires(sizeof...(Args) > 0)
  explicit Error(fmt::format_string<Args...> format, Args&&... args) : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

class DeviceLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
[[noreturn]] void check_failed(const char* file, int line, const char* expression, const std::string& values);

inline std::string check_message() { return {}; }
template <typename... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace detail

}  // namespace lapilli

// CHECK(cond) or CHECK(cond, "format {}", value): the format says which values failed the check.
#define CHECK(condition, ...)                                                                        \
  (static_cast<bool>(condition)                                                                      \
       ? void(0)                                                                                     \
       : ::lapilli::detail::check_failed(__FILE__, __LINE__, #condition,                             \
                                         ::lapilli::detail::check_message(__VA_ARGS__)))

#define CHECK_EQ(a, b) CHECK((a) == (b), "{} is {}, {} is {}", #a, (a), #b, (b))
