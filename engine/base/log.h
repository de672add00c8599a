#pragma once
// Log messages: sentences without the final period. Where they go is the program's choice (spdlog's default logger); what includes this
// need not read spdlog's headers, which cost a compiler several seconds a file.

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace lapilli {

enum class LogLevel { debug, warning, error, critical };

void log_text(LogLevel level, std::string_view text);

template <class... Args>
void log_message(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  log_text(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_text(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_text(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lapilli
